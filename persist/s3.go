package persist

import (
	"bytes"
	"context"
	"crypto/fips140"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"github.com/highlander-go/highlander/object"
)

const (
	s3Timeout = 5 * time.Second // of a request, unless [S3Options] say otherwise

	// s3Connections are kept open, so that as many puts can be under way without a new handshake for each.
	// More requests than that wait for a connection, within their time limit.
	s3Connections = 1024
)

// S3Options say which bucket an [S3] is, and how it is reached.
type S3Options struct {
	Bucket string // it must exist
	Prefix string // of all keys, without slashes at its ends; "": none. At most 150 bytes

	Endpoint  string // of a server other than AWS, as http://host:port; "": AWS, or what AWS_ENDPOINT_URL_S3 says
	Region    string // "": what the AWS configuration says; us-east-1 at an endpoint other than AWS
	PathStyle *bool  // the bucket in the path and not in the host's name; nil: at endpoints other than AWS

	// Timeout bounds each request from its start to the last byte of its answer; what it cuts off has an unknown
	// outcome. An object waits as long for one write. 0: 5 s.
	Timeout time.Duration

	// Client sends the requests. It must follow no redirects and put no bodies twice. Nil: one of the store's own.
	Client *http.Client
}

// S3 is an [object.Store] in a bucket of Amazon S3, or of a server that speaks its protocol and honours If-Match
// and If-None-Match: [Check] tells. A blob's tag is its ETag as it came. No request is tried again, because
// the commit loop does that: the SDK's retries would turn a put's own success into a failed condition.
// It may be used concurrently.
type S3 struct {
	client  *s3.Client
	bucket  string
	prefix  string // of keys: "" or ending in a slash
	timeout time.Duration
	isAWS   bool
	close   func() // nothing is left of the connections
}

var _ Store = (*S3)(nil)

// OpenS3 returns the store in a bucket. It reads the AWS configuration (environment, files), from which the
// credentials come, and makes no request.
func OpenS3(ctx context.Context, o S3Options) (*S3, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("store in S3: %w", err)
	}
	load := []func(*config.LoadOptions) error{config.WithLogger(logging.Nop{})} // what matters is in the errors
	if o.Region != "" {
		load = append(load, config.WithRegion(o.Region))
	}
	c, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("store in S3: the AWS configuration cannot be loaded: %w", err)
	}
	s := &S3{bucket: o.Bucket, timeout: o.Timeout, close: func() {}}
	if o.Prefix != "" {
		s.prefix = o.Prefix + "/"
	}
	if s.timeout == 0 {
		s.timeout = s3Timeout
	}
	client := o.Client
	if client == nil {
		client = s.newClient(c)
		s.close = client.CloseIdleConnections
	}
	s.client = s3.NewFromConfig(c, func(to *s3.Options) {
		to.HTTPClient = client
		to.Retryer, to.RetryMaxAttempts = aws.NopRetryer{}, 0
		o.apply(to)
	})
	to := s.client.Options()
	s.isAWS = to.BaseEndpoint == nil || isAWS(*to.BaseEndpoint)
	if to.BaseEndpoint != nil { // it may come from the environment
		err = checkEndpoint(*to.BaseEndpoint)
	}
	if err == nil && to.Region == "" {
		err = errors.New("no region is set: add region= to the URL, or set AWS_REGION")
	}
	if err != nil {
		return nil, fmt.Errorf("store in S3: %w", err)
	}
	return s, nil
}

// apply sets what depends on the server.
func (o *S3Options) apply(to *s3.Options) {
	if o.Endpoint != "" {
		to.BaseEndpoint = &o.Endpoint
	}
	if to.BaseEndpoint != nil && !isAWS(*to.BaseEndpoint) {
		to.UsePathStyle = true
		to.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		to.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		if to.Region == "" {
			to.Region = "us-east-1"
		}
	}
	if o.PathStyle != nil {
		to.UsePathStyle = *o.PathStyle
	}
}

// newClient returns a client that gives up early and keeps many connections.
func (s *S3) newClient(c aws.Config) *http.Client {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment}
	if b, ok := c.HTTPClient.(interface{ GetTransport() *http.Transport }); ok {
		t = b.GetTransport() // it knows the certificates of AWS_CA_BUNDLE
	}
	t.DialContext = (&net.Dialer{Timeout: s.timeout}).DialContext
	t.TLSHandshakeTimeout = s.timeout
	t.ResponseHeaderTimeout = s.timeout
	t.MaxIdleConns, t.MaxIdleConnsPerHost, t.MaxConnsPerHost = 0, s3Connections, s3Connections
	t.IdleConnTimeout = 30 * time.Second
	// With HTTP/2 all requests would hang on one connection, and go on doing so when it is dead.
	t.ForceAttemptHTTP2, t.Protocols = false, new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// String is the store's URL without its parameters.
func (s *S3) String() string { return strings.TrimSuffix("s3://"+s.bucket+"/"+s.prefix, "/") }

// Close closes the connections that are idle.
func (s *S3) Close() error {
	s.close()
	return nil
}

// limit bounds one request.
func (s *S3) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.timeout)
}

// Get implements [object.Store].
//
// Servers other than AWS may give one put's body with the next one's tag, when the blob is overwritten in between (those
// on top of a file system do). A put under that tag would then overwrite what nobody has read. So there a tag that is not
// its body's MD5 is believed when a second request gets the same of both.
func (s *S3) Get(ctx context.Context, name string) ([]byte, object.Tag, error) {
	if err := mayBegin(ctx, name); err != nil {
		return nil, "", opGet.notBegun(name, err)
	}
	limited, cancel := s.limit(ctx)
	defer cancel()
	var before []byte
	var tagBefore object.Tag // "": this is the first request
	for {
		body, tag, err := s.get(limited, name)
		if err != nil {
			return nil, "", s.failed(ctx, opGet, name, false, err)
		}
		if s.isAWS || isMD5(tag, body) || tag == tagBefore && bytes.Equal(body, before) {
			return body, tag, nil
		}
		before, tagBefore = body, tag
	}
}

// get makes one request.
func (s *S3) get(ctx context.Context, name string) ([]byte, object.Tag, error) {
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: aws.String(s.prefix + name)})
	if err != nil {
		return nil, "", err
	}
	body, err := readBody(out)
	if err != nil {
		return nil, "", err
	}
	return body, object.Tag(*out.ETag), nil
}

// isMD5 tells whether the tag is the body's MD5, as it is on most servers.
func isMD5(tag object.Tag, body []byte) bool {
	if fips140.Enabled() { // then MD5 may not be used
		return false
	}
	sum := md5.Sum(body)
	return strings.Trim(string(tag), `"`) == hex.EncodeToString(sum[:])
}

// readBody reads a blob that is whole: a body that ends when the connection does would pass for a shorter one.
func readBody(out *s3.GetObjectOutput) ([]byte, error) {
	defer out.Body.Close()
	if out.ContentLength == nil || aws.ToString(out.ETag) == "" {
		return nil, errors.New("the answer has no Content-Length or no ETag: something between here and the store takes it away")
	}
	want := *out.ContentLength
	var body bytes.Buffer
	body.Grow(int(min(want, 4<<20)) + bytes.MinRead) // no more: the length may be a lie
	if n, err := body.ReadFrom(out.Body); err != nil || n != want {
		return nil, fmt.Errorf("the answer broke off after %d of %d bytes: %w", n, want, errOr(err, io.ErrUnexpectedEOF.Error()))
	}
	return body.Bytes(), nil
}

// Put implements [object.Store].
func (s *S3) Put(ctx context.Context, name string, body []byte, c object.Condition) (object.Tag, error) {
	match, err := s.mayWrite(ctx, name, c)
	if err != nil {
		return "", opPut.notBegun(name, err)
	}
	in := &s3.PutObjectInput{Bucket: &s.bucket, Key: aws.String(s.prefix + name), Body: bytes.NewReader(body), IfMatch: match}
	if c.Absent() {
		in.IfNoneMatch = aws.String("*")
	}
	limited, cancel := s.limit(ctx)
	defer cancel()
	out, err := s.client.PutObject(limited, in)
	if err == nil && aws.ToString(out.ETag) == "" {
		err = errors.New("the answer has no ETag: it is not the store's")
	}
	if err != nil {
		return "", s.failed(ctx, opPut, name, match != nil, err)
	}
	return object.Tag(*out.ETag), nil
}

// Delete implements [object.Store], on servers that honour the condition, see [Capabilities].
func (s *S3) Delete(ctx context.Context, name string, c object.Condition) error {
	match, err := s.mayWrite(ctx, name, c)
	if err == nil && c.Absent() {
		err = errors.New("only a blob that is there can be deleted")
	}
	if err != nil {
		return opDelete.notBegun(name, err)
	}
	limited, cancel := s.limit(ctx)
	defer cancel()
	_, err = s.client.DeleteObject(limited, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: aws.String(s.prefix + name), IfMatch: match})
	if err == nil || match == nil && answerOf(err).code == codeNoSuchKey {
		return nil
	}
	return s.failed(ctx, opDelete, name, match != nil, err)
}

// mayWrite returns the ETag that the condition asks for, nil if it asks for none. An empty one would be no
// condition at all, a star would match every blob, and a list each one that it names.
func (s *S3) mayWrite(ctx context.Context, name string, c object.Condition) (*string, error) {
	if err := mayBegin(ctx, name); err != nil {
		return nil, err
	}
	tag, ok := c.Match()
	if !ok {
		return nil, nil
	}
	if tag == "" || strings.ContainsAny(string(tag), "*, \t\r\n") {
		return nil, fmt.Errorf("%q is not a tag that S3 has given", tag)
	}
	return aws.String(string(tag)), nil
}

// List implements [object.Store]. Keys that no put can have made are left out.
func (s *S3) List(ctx context.Context, prefix, after string, limit int) ([]object.Entry, error) {
	err := ctx.Err()
	if err == nil {
		err = checkLimit(limit)
	}
	if err != nil {
		return nil, opList.failed(prefix, err)
	}
	limited, cancel := s.limit(ctx)
	defer cancel()
	entries, err := s.list(limited, prefix, after, limit)
	if err != nil {
		return nil, s.failed(ctx, opList, prefix, false, err)
	}
	return entries, nil
}

// list asks for pages until there are enough entries: S3 may give fewer than it was asked for.
func (s *S3) list(ctx context.Context, prefix, after string, limit int) ([]object.Entry, error) {
	var entries []object.Entry
	in := &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: aws.String(s.prefix + prefix), MaxKeys: aws.Int32(int32(limit))}
	if after != "" {
		in.StartAfter = aws.String(s.prefix + after)
	}
	last := s.prefix + after
	for {
		out, err := s.client.ListObjectsV2(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, o := range out.Contents {
			key := aws.ToString(o.Key)
			if key <= last || !strings.HasPrefix(key, *in.Prefix) {
				return nil, fmt.Errorf("the server lists %q after %q, for the prefix %q: it must list in the order of bytes (directory buckets of S3 do not)", key, last, *in.Prefix)
			}
			if o.Size == nil {
				return nil, fmt.Errorf("the server lists %q without its size", key)
			}
			last = key
			name := key[len(s.prefix):]
			if len(entries) < limit && checkName(name) == nil {
				entries = append(entries, object.Entry{Name: name, Size: *o.Size})
			}
		}
		switch {
		case len(entries) == limit || !aws.ToBool(out.IsTruncated):
			return entries, nil
		case aws.ToString(out.NextContinuationToken) == "":
			return nil, errors.New("the server says that there is more, but not where")
		}
		in.ContinuationToken = out.NextContinuationToken
	}
}
