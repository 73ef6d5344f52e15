package persist

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// maxPrefixBytes leaves room for a record's name within S3's limit for keys.
const maxPrefixBytes = 150

// errCredentials is the answer to all that may be a key or a password. It repeats none of it.
var errCredentials = errors.New("credentials do not belong into it: S3 takes them from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), " +
	"from AWS's files, or from the machine's role")

// openS3URL opens the store that "s3:" and rest name, see [Open].
func openS3URL(ctx context.Context, rest string) (Store, error) {
	o, err := parseS3URL(rest)
	if err != nil {
		return nil, fmt.Errorf("store s3://…: %w", err)
	}
	s, err := OpenS3(ctx, o)
	if err != nil {
		return nil, err // and not a nil *S3 in a Store
	}
	return s, nil
}

// parseS3URL takes what follows "s3:" apart. Errors repeat nothing but names of parameters, for what is
// in the wrong place may be a secret.
func parseS3URL(rest string) (S3Options, error) {
	rest, ok := strings.CutPrefix(rest, "//")
	if !ok {
		return S3Options{}, errors.New("write s3://BUCKET/PREFIX")
	}
	place, query, _ := strings.Cut(rest, "?")
	if strings.ContainsAny(place, "@:") {
		return S3Options{}, fmt.Errorf("there is a user, a password or a port in it: %w", errCredentials)
	}
	var o S3Options
	bucket, prefix, _ := strings.Cut(place, "/")
	var segments []string
	for s := range strings.SplitSeq(prefix, "/") {
		if s != "" {
			segments = append(segments, s)
		}
	}
	o.Bucket, o.Prefix = bucket, strings.Join(segments, "/")
	if err := o.parameters(query); err != nil {
		return S3Options{}, err
	}
	if err := o.check(); err != nil {
		return S3Options{}, err
	}
	return o, nil
}

func (o *S3Options) parameters(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("what follows the ? is not parameters: write name=value, joined by &, with a % or & in a value as %25 and %26")
	}
	for name, v := range values {
		if v[0] == "" {
			return errors.New("there is a parameter without a value")
		}
		if len(v) > 1 {
			return fmt.Errorf("parameter %q is given twice", shorten(name))
		}
		switch name {
		case "endpoint":
			o.Endpoint = v[0]
		case "region":
			o.Region = v[0]
		case "path_style":
			style, err := strconv.ParseBool(v[0])
			if err != nil {
				return errors.New("path_style is true or false")
			}
			o.PathStyle = &style
		default:
			return fmt.Errorf("parameter %q is not known; there are endpoint, region and path_style; %w", shorten(name), errCredentials)
		}
	}
	return nil
}

// check reports what is wrong with the options.
func (o *S3Options) check() error {
	switch {
	case o.Bucket == "":
		return errors.New("it names no bucket; write s3://BUCKET/PREFIX")
	case !isBucket(o.Bucket):
		return errors.New("the bucket's name is none: it has 3 to 63 of a-z 0-9 . and -, with a letter or digit at each end")
	case strings.HasSuffix(o.Bucket, "--x-s3"):
		return errors.New("it is a directory bucket, whose listings have no order; use a general purpose bucket")
	case o.Prefix != "" && !isPrefix(o.Prefix):
		return fmt.Errorf("the prefix must be 1 to %d bytes in segments joined by /, each out of A-Z a-z 0-9 - _ . =, no dot first", maxPrefixBytes)
	case o.Timeout < 0:
		return fmt.Errorf("the timeout is %v; give it a few seconds", o.Timeout)
	case o.Endpoint != "":
		return checkEndpoint(o.Endpoint)
	}
	return nil
}

func isBucket(s string) bool {
	for i := range len(s) {
		c := s[i]
		inner := (c == '-' || c == '.') && i > 0 && i < len(s)-1
		if !inner && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return len(s) >= 3 && len(s) <= 63
}

func isPrefix(s string) bool {
	for segment := range strings.SplitSeq(s, "/") {
		if segment == "" || segment[0] == '.' {
			return false
		}
		for i := range len(segment) {
			if c := segment[i]; c|0x20 < 'a' || c|0x20 > 'z' {
				if (c < '0' || c > '9') && !strings.ContainsRune("-_.=", rune(c)) {
					return false
				}
			}
		}
	}
	return len(s) <= maxPrefixBytes
}

func checkEndpoint(endpoint string) error {
	if strings.Contains(endpoint, "@") {
		return fmt.Errorf("there is a user or a password in the endpoint: %w", errCredentials)
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.ForceQuery || strings.Contains(endpoint, "#") {
		return errors.New("the endpoint must be http://HOST:PORT or https://HOST:PORT")
	}
	return nil
}

// isAWS tells whether Amazon is at the endpoint: others do not know each of its newer checksums.
func isAWS(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	for _, domain := range []string{".amazonaws.com", ".amazonaws.com.cn", ".api.aws"} {
		if strings.HasSuffix(u.Hostname(), domain) {
			return true
		}
	}
	return false
}
