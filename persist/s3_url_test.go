package persist

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

func TestS3URLs(t *testing.T) {
	setS3Environment(t)
	for rest, want := range map[string]struct {
		store, endpoint, region string
		pathStyle               bool
		checksums               aws.RequestChecksumCalculation
	}{
		"//bucket?region=eu-west-1":                       {"s3://bucket", "", "eu-west-1", false, aws.RequestChecksumCalculationWhenSupported},
		"//bucket/?region=eu-west-1":                      {"s3://bucket", "", "eu-west-1", false, aws.RequestChecksumCalculationWhenSupported},
		"//a.b-c/d?region=eu-west-1&path_style=true":      {"s3://a.b-c/d", "", "eu-west-1", true, aws.RequestChecksumCalculationWhenSupported},
		"//bucket//a///B=c_-.1/?region=x":                 {"s3://bucket/a/B=c_-.1", "", "x", false, aws.RequestChecksumCalculationWhenSupported},
		"//bucket/p?endpoint=http://h:1":                  {"s3://bucket/p", "http://h:1", "us-east-1", true, aws.RequestChecksumCalculationWhenRequired},
		"//bucket/p?endpoint=https%3A%2F%2Fh/s3&region=r": {"s3://bucket/p", "https://h/s3", "r", true, aws.RequestChecksumCalculationWhenRequired},
		"//bucket/p?endpoint=http://h:1&path_style=false": {"s3://bucket/p", "http://h:1", "us-east-1", false, aws.RequestChecksumCalculationWhenRequired},
		"//bucket?region=r&endpoint=https://s3.eu-west-1.amazonaws.com": {"s3://bucket", "https://s3.eu-west-1.amazonaws.com", "r", false,
			aws.RequestChecksumCalculationWhenSupported},
	} {
		store, err := Open(t.Context(), "s3:"+rest)
		if err != nil {
			t.Errorf("%s: %v", rest, err)
			continue
		}
		s := store.(*S3)
		to := s.client.Options()
		if s.String() != want.store || aws.ToString(to.BaseEndpoint) != want.endpoint || to.Region != want.region ||
			to.UsePathStyle != want.pathStyle || to.RequestChecksumCalculation != want.checksums {
			t.Errorf("%s: got %s, endpoint %q, region %q, path style %v, checksums %v; want %+v",
				rest, s, aws.ToString(to.BaseEndpoint), to.Region, to.UsePathStyle, to.RequestChecksumCalculation, want)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestS3URLsThatAreRefused(t *testing.T) {
	setS3Environment(t)
	long := strings.Repeat("secret", 30)
	for url, says := range map[string]string{
		"s3:":                                            "write s3://BUCKET/PREFIX",
		"s3:bucket":                                      "write s3://BUCKET/PREFIX",
		"s3://":                                          "names no bucket",
		"s3:///prefix":                                   "names no bucket",
		"s3://bucket":                                    "no region is set",
		"s3://user:secret@bucket":                        "credentials do not belong",
		"s3://user:secret/with/slash@bucket":             "credentials do not belong",
		"s3://AKIA:secret":                               "credentials do not belong",
		"s3://SECRET/p":                                  "bucket's name",
		"s3://se":                                        "bucket's name",
		"s3://-secret":                                   "bucket's name",
		"s3://secret.":                                   "bucket's name",
		"s3://" + long:                                   "bucket's name",
		"s3://bucket--use1-az4--x-s3":                    "directory bucket",
		"s3://bucket/secret/../x":                        "prefix",
		"s3://bucket/.secret":                            "prefix",
		"s3://bucket/se%63ret":                           "prefix",
		"s3://bucket/secret#a":                           "prefix",
		"s3://bucket/" + long:                            "1 to 150 bytes",
		"s3://bucket?secret_key=secret-value":            `parameter "secret_key" is not known`,
		"s3://bucket?region=a&region=b":                  "given twice",
		"s3://bucket?region=":                            "without a value",
		"s3://bucket?secret":                             "without a value",
		"s3://bucket?region=%zz":                         "not parameters",
		"s3://bucket?region=a;b=secret":                  "not parameters",
		"s3://bucket?path_style=secret":                  "true or false",
		"s3://bucket?endpoint=http://user:secret@h":      "credentials do not belong",
		"s3://bucket?endpoint=http://h?token=secret":     "http://HOST:PORT",
		"s3://bucket?endpoint=http://h%23secret":         "http://HOST:PORT",
		"s3://bucket?endpoint=secret:9000":               "http://HOST:PORT",
		"s3://bucket?endpoint=ftp://secret":              "http://HOST:PORT",
		"s3://bucket?endpoint=http://:9000":              "http://HOST:PORT",
		"s3://bucket?endpoint=http://secret:port":        "http://HOST:PORT",
		"s3://bucket?region=r&endpoint=http://h:1&zone=": "without a value",
	} {
		store, err := Open(t.Context(), url)
		if store != nil || err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got %v, %v; want an error that says %q", url, store, err, says)
			continue
		}
		if text := strings.ReplaceAll(err.Error(), `"secret_key"`, ""); strings.Contains(strings.ToLower(text), "secret-") ||
			strings.Contains(strings.ReplaceAll(text, "AWS_SECRET_ACCESS_KEY", ""), "secret") {
			t.Errorf("%q: the error gives it away: %v", url, err)
		}
	}
}

// The endpoint may come from the environment, and is then no less another server's.
func TestS3EndpointOfTheEnvironment(t *testing.T) {
	setS3Environment(t)
	t.Setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
	store, err := Open(t.Context(), "s3://bucket")
	if err != nil {
		t.Fatal(err)
	}
	if to := store.(*S3).client.Options(); !to.UsePathStyle || to.Region != "us-east-1" {
		t.Errorf("path style %v, region %q", to.UsePathStyle, to.Region)
	}
	t.Setenv("AWS_ENDPOINT_URL_S3", "http://user:secret@127.0.0.1:1")
	if _, err = Open(t.Context(), "s3://bucket"); err == nil || strings.Contains(err.Error(), "user:") {
		t.Error(err)
	}
}

func FuzzParseS3URL(f *testing.F) {
	for _, rest := range []string{
		"//bucket", "//bucket/a/b?region=eu-west-1", "//bucket?endpoint=http://h:1&path_style=1", "//a@b", "", "//b/%", "//b?=&=", "//bucket//x/?region=%25",
	} {
		f.Add(rest)
	}
	f.Fuzz(func(t *testing.T, rest string) {
		o, err := parseS3URL(rest)
		if err != nil {
			return
		}
		again, err := parseS3URL("//" + o.Bucket + "/" + o.Prefix)
		if err != nil || again.Bucket != o.Bucket || again.Prefix != o.Prefix {
			t.Errorf("%q gives %+v, and that gives %+v, %v", rest, o, again, err)
		}
		if key := o.Prefix + "/" + "o/type/0/id"; o.Prefix != "" && (strings.HasPrefix(key, "/") || strings.Contains(key, "//") || strings.Contains(key, "/.")) {
			t.Errorf("%q gives keys like %q", rest, key)
		}
		if strings.ContainsAny(o.Endpoint, "@#?") {
			t.Errorf("%q gives the endpoint %q", rest, o.Endpoint)
		}
	})
}

// Whatever stands where a user and a password would, no error repeats it.
func FuzzS3URLKeepsSecrets(f *testing.F) {
	const secret = "wJalrXUtnFEMIK7MDENG"
	f.Add("user:", "@bucket/prefix")
	f.Add("", "@bucket?region=x")
	f.Add("bucket?endpoint=http://u:", "@h")
	f.Add("bucket?access_key=", "&x=y")
	f.Add("bucket?path_style=", "")
	f.Fuzz(func(t *testing.T, before, after string) {
		if i := strings.LastIndexAny(before, "?&"); i >= 0 && !strings.Contains(before[i:], "=") {
			return // it would be a parameter's name
		}
		_, err := parseS3URL("//" + before + secret + after)
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%q and %q: %v", before, after, err)
		}
	})
}
