package persist

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/object/storetest"
)

func TestS3KeepsTheContract(t *testing.T) {
	server := newS3Server(t)
	server.page = 100 // the store has to turn pages
	storetest.Run(t, func(t *testing.T) object.Store { return server.open(t, "some/prefix") })
	for key := range server.blobs {
		if !strings.HasPrefix(key, "some/prefix/storetest/") {
			t.Fatalf("the key %q is not under the prefix", key)
		}
	}
}

func TestS3NeedsNoPrefix(t *testing.T) {
	server := newS3Server(t)
	store := server.open(t, "")
	for _, name := range []string{"o/list/1/a", "o/list/1/b"} {
		if _, err := store.Put(t.Context(), name, nil, object.IfAbsent()); err != nil {
			t.Fatal(err)
		}
		if _, ok := server.blobs[name]; !ok {
			t.Errorf("there is no key %q", name)
		}
	}
	if names, err := store.List(t.Context(), "o/", "o/list/1/a", 10); fmt.Sprint(names) != "[{o/list/1/b 0}]" || err != nil {
		t.Error(names, err)
	}
}

const (
	htmlNotFound = "<html>\n<head><title>404 Not Found</title></head>\n<body><hr><center>nginx</center>\n</body>\n</html>"
	wholeHead    = "HTTP/1.1 200 OK\r\nETag: \"abc\"\r\n"
)

var errNone = errors.New("no sentinel") // what some error must match: nothing

// What each answer means, for a get, a put under If-Match and a delete under If-Match.
func TestS3Answers(t *testing.T) {
	for what, c := range map[string]struct {
		bend          s3Bend
		get, put, del error
		says          string // in each error
	}{
		"missing key":            {says(404, "NoSuchKey", "gone"), object.ErrNoBlob, object.ErrNoBlob, object.ErrNoBlob, "NoSuchKey: gone (status 404, request \"REQUEST-1\")"},
		"missing bucket":         {says(404, "NoSuchBucket", "no bucket"), errNone, object.ErrRefused, object.ErrRefused, "make the bucket"},
		"404 with another code":  {says(404, "NoSuchUpload", "?"), errNone, object.ErrRefused, object.ErrRefused, "NoSuchUpload"},
		"NoSuchKey, but not 404": {says(400, "NoSuchKey", "?"), errNone, object.ErrRefused, object.ErrRefused, "NoSuchKey"},
		"404 in HTML":            {saysBare(404, htmlNotFound), errNone, object.ErrRefused, object.ErrRefused, "status 404 that is not S3's; check that the endpoint"},
		"404 without a body":     {saysBare(404, ""), errNone, object.ErrRefused, object.ErrRefused, "status 404 that is not S3's"},
		"condition failed":       {says(412, "PreconditionFailed", "did not hold"), errNone, object.ErrConditionFailed, object.ErrConditionFailed, "PreconditionFailed: did not hold"},
		"412 without a body":     {saysBare(412, ""), errNone, errNone, errNone, "status 412 that is not S3's"},
		"412 in HTML":            {saysBare(412, htmlNotFound), errNone, errNone, errNone, "status 412 that is not S3's"},
		"412 with another code":  {says(412, "Odd", "?"), errNone, errNone, errNone, "Odd"},
		"412 cut off": {sends("HTTP/1.1 412 Precondition Failed\r\nContent-Length: 1000\r\n\r\n<Error><Code>PreconditionFailed</Code>"),
			errNone, errNone, errNone, "status 412 that is not S3's"},
		"conflict":                {says(409, "ConditionalRequestConflict", "again"), errNone, errNone, errNone, "ConditionalRequestConflict"},
		"internal error":          {says(500, "InternalError", "oh"), errNone, errNone, errNone, "InternalError: oh"},
		"502 of a proxy":          {saysBare(502, "<html>"), errNone, errNone, errNone, "status 502"},
		"slow down":               {says(503, "SlowDown", "Reduce your request rate"), errNone, errNone, errNone, "make fewer requests"},
		"504 of a proxy":          {saysBare(504, ""), errNone, errNone, errNone, "status 504"},
		"not implemented":         {says(501, "NotImplemented", "a header"), errNone, errNone, errNone, "use another"},
		"too many requests":       {says(429, "TooManyRequests", "wait"), errNone, errNone, errNone, "make fewer requests"},
		"408 of a proxy":          {saysBare(408, ""), errNone, errNone, errNone, "status 408"},
		"425 of a proxy":          {saysBare(425, ""), errNone, errNone, errNone, "status 425"},
		"499 of a proxy":          {saysBare(499, ""), errNone, errNone, errNone, "status 499"},
		"a request timeout":       {says(400, "RequestTimeout", "idle"), errNone, errNone, errNone, "RequestTimeout"},
		"another bad request":     {says(400, "EntityTooLarge", "too large"), errNone, object.ErrRefused, object.ErrRefused, "EntityTooLarge: too large"},
		"413 of a proxy":          {saysBare(413, htmlNotFound), errNone, object.ErrRefused, object.ErrRefused, "status 413"},
		"access denied":           {says(403, "AccessDenied", "Access Denied"), errNone, object.ErrRefused, object.ErrRefused, "AccessDenied: Access Denied (status 403, request \"REQUEST-1\"); grant s3:"},
		"403 of a proxy":          {saysBare(403, ""), errNone, object.ErrRefused, object.ErrRefused, "status 403"},
		"unknown key id":          {says(403, "InvalidAccessKeyId", "unknown"), errNone, object.ErrRefused, object.ErrRefused, "check the credentials"},
		"expired token":           {says(400, "ExpiredToken", "old"), errNone, object.ErrRefused, object.ErrRefused, "check the credentials"},
		"a clock that is off":     {says(403, "RequestTimeTooSkewed", "skew"), errNone, object.ErrRefused, object.ErrRefused, "clock"},
		"a region that is wrong":  {says(400, "AuthorizationHeaderMalformed", "expecting 'eu-west-1'"), errNone, object.ErrRefused, object.ErrRefused, "check its region"},
		"a redirect of a proxy":   {saysBare(302, ""), errNone, object.ErrRefused, object.ErrRefused, "status 302"},
		"a redirect for a moment": {says(307, "TemporaryRedirect", "elsewhere"), errNone, object.ErrRefused, object.ErrRefused, "the bucket is elsewhere"},
		"a redirect to another region": {func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
			w.Header().Set("X-Amz-Bucket-Region", "eu-west-1")
			w.Header().Set("Location", "http://"+r.Host+"/elsewhere")
			refuse(w, 301, "PermanentRedirect", "elsewhere")
		}, errNone, object.ErrRefused, object.ErrRefused, `the bucket is in region "eu-west-1"`},
		"a reset":           {func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) { reset(w, "") }, errNone, errNone, errNone, "bucket"},
		"a reset in a head": {func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) { reset(w, wholeHead) }, errNone, errNone, errNone, "bucket"},
		"no HTTP":           {sends("SSH-2.0-OpenSSH\r\n"), errNone, errNone, errNone, "malformed"},
		"a hang":            {hangs, errNone, errNone, errNone, "no whole answer within 50ms"},
	} {
		t.Run(what, func(t *testing.T) {
			server := newS3Server(t)
			server.bends(c.bend)
			store, err := OpenS3(t.Context(), S3Options{Bucket: testBucket, Prefix: "p", Endpoint: server.URL, Timeout: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			if what == "a hang" {
				store.timeout = 50 * time.Millisecond
			}
			const name = "o/list/1/a"
			_, _, err = store.Get(t.Context(), name)
			expectS3(t, "get", err, c.get, c.says)
			_, err = store.Put(t.Context(), name, []byte("body"), object.IfMatch(`"abc"`))
			expectS3(t, "put", err, c.put, c.says)
			err = store.Delete(t.Context(), name, object.IfMatch(`"abc"`))
			expectS3(t, "delete", err, c.del, c.says)
			if n := server.requests.Load(); n != 3 {
				t.Errorf("%d requests for three operations", n)
			}
			_, err = store.List(t.Context(), "o/", "", 10)
			expectS3(t, "list", err, errNone, "")
		})
	}
}

// expectS3 checks that an error matches a sentinel and no other, and what it says.
func expectS3(t *testing.T, op string, err, want error, says string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error, want %v", op, want)
		return
	}
	for _, sentinel := range []error{object.ErrNoBlob, object.ErrConditionFailed, object.ErrRefused, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, sentinel) != (sentinel == want) {
			t.Errorf("%s: got error %v; does it match %q: want %v", op, err, sentinel, sentinel == want)
		}
	}
	text := err.Error()
	if !strings.Contains(text, says) || !strings.HasPrefix(text, op+" blob") || !strings.Contains(text, "s3://bucket/p/o/") {
		t.Errorf("%s: got error %v; want it to name the operation, the bucket and the key, and to say %q", op, err, says)
	}
	for _, secret := range []string{"the-secret-key", "the-session-token", "Signature="} {
		if strings.Contains(text, secret) {
			t.Errorf("%s: the error gives a secret away: %v", op, err)
		}
	}
}

// A body that is not whole, or not surely so, is an error and never a shorter record.
func TestS3ReadsWholeBodiesOnly(t *testing.T) {
	for what, c := range map[string]struct {
		bend s3Bend
		says string
	}{
		"is cut off": {sends(wholeHead + "Content-Length: 100\r\n\r\nonly this"), "broke off after 9 of 100 bytes"},
		"is cut off by a reset": {func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
			reset(w, wholeHead+"Content-Length: 100\r\n\r\n")
		}, "of 100 bytes"},
		"is long, or says so":      {sends(wholeHead + "Content-Length: 9000000000000000\r\n\r\nonly this"), "broke off after 9 of"},
		"ends with the connection": {sends(wholeHead + "\r\nis this all?"), "no Content-Length"},
		"comes in chunks":          {sends(wholeHead + "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"), "no Content-Length"},
		"comes in chunks, some":    {sends(wholeHead + "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n"), "no Content-Length"},
		"has no ETag":              {sends("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"), "no ETag"},
		"stops coming before the end": {func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
			w.Header().Set("ETag", `"abc"`)
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("slow"))
			http.NewResponseController(w).Flush()
			hangs(w, r, serve)
		}, "no whole answer within 200ms"},
	} {
		t.Run(what, func(t *testing.T) {
			server := newS3Server(t)
			server.bends(c.bend)
			store := server.open(t, "p")
			if strings.Contains(c.says, "200ms") {
				store.timeout = 200 * time.Millisecond
			}
			body, tag, err := store.Get(t.Context(), "o/list/1/a")
			expectS3(t, "get", err, errNone, c.says)
			if body != nil || tag != "" {
				t.Errorf("got %q, %q with the error", body, tag)
			}
		})
	}
}

// A good status is not all: answers that are somebody else's have no ETag, and S3 itself may put an error into one.
func TestS3BelievesNoPutWithoutETag(t *testing.T) {
	for what, c := range map[string]struct {
		bend s3Bend
		says string
	}{
		"page of a proxy": {saysBare(200, "<html>log in here</html>"), "no ETag"},
		"empty answer":    {saysBare(200, ""), "no ETag"},
		"error with 200":  {says(200, "InternalError", "We encountered an internal error"), "InternalError: We encountered"},
		"refusal in 200":  {says(200, "PreconditionFailed", "no"), "PreconditionFailed"},
	} {
		server := newS3Server(t)
		server.bends(c.bend)
		_, err := server.open(t, "p").Put(t.Context(), "o/list/1/a", nil, object.IfAbsent())
		t.Run(what, func(t *testing.T) { expectS3(t, "put", err, errNone, c.says) })
	}
}

// The answer is lost after the put was done: the store's only report is that nothing is known, and trying again with the
// same bytes finds the condition failed, which the commit loop resolves by the record's write id.
func TestS3LostAnswers(t *testing.T) {
	server := newS3Server(t)
	store, ctx := server.open(t, "p"), t.Context()
	server.bends(losesAnswer)
	_, err := store.Put(ctx, "o/list/1/a", []byte("body"), object.IfAbsent())
	expectS3(t, "put", err, errNone, "")
	server.bends(nil)
	if n := server.requests.Load(); n != 1 {
		t.Errorf("%d requests: something has tried again by itself", n)
	}
	_, err = store.Put(ctx, "o/list/1/a", []byte("body"), object.IfAbsent())
	expectS3(t, "put", err, object.ErrConditionFailed, "")
	body, tag, err := store.Get(ctx, "o/list/1/a")
	if string(body) != "body" || err != nil {
		t.Fatalf("got %q, %v", body, err)
	}
	server.bends(losesAnswer)
	expectS3(t, "delete", store.Delete(ctx, "o/list/1/a", object.IfMatch(tag)), errNone, "")
	server.bends(nil)
	expectS3(t, "delete", store.Delete(ctx, "o/list/1/a", object.IfMatch(tag)), object.ErrNoBlob, "")
}

// Not even the environment brings retries back, and a connection that the server has closed meanwhile loses no put.
func TestS3NeverTriesAgain(t *testing.T) {
	server := newS3Server(t)
	t.Setenv("AWS_MAX_ATTEMPTS", "5")
	t.Setenv("AWS_RETRY_MODE", "adaptive")
	store := server.open(t, "p")
	for _, status := range []int{500, 503, 429} {
		server.bends(says(status, "SlowDown", "later"))
		server.requests.Store(0)
		_, err := store.Put(t.Context(), "o/list/1/a", []byte("body"), object.Condition{})
		expectS3(t, "put", err, errNone, "later")
		if _, _, err = store.Get(t.Context(), "o/list/1/a"); err == nil {
			t.Error("no error")
		}
		if n := server.requests.Load(); n != 2 {
			t.Errorf("status %d: %d requests for two operations", status, n)
		}
	}
}

func TestS3CallsEndWithTheirContext(t *testing.T) {
	server := newS3Server(t)
	store := server.open(t, "p")
	arrived := make(chan struct{}, 1)
	server.bends(func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
		arrived <- struct{}{}
		hangs(w, r, serve)
	})
	for op, call := range map[string]func(ctx context.Context) error{
		"get":    func(ctx context.Context) error { _, _, err := store.Get(ctx, "o/a"); return err },
		"put":    func(ctx context.Context) error { _, err := store.Put(ctx, "o/a", nil, object.Condition{}); return err },
		"delete": func(ctx context.Context) error { return store.Delete(ctx, "o/a", object.Condition{}) },
		"list":   func(ctx context.Context) error { _, err := store.List(ctx, "o/", "", 1); return err },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-arrived
			cancel()
		}()
		expectS3(t, op, call(ctx), context.Canceled, "given up")
	}
}

func TestS3SaysWhereItCannotConnect(t *testing.T) {
	server := newS3Server(t)
	server.Close()
	store := server.open(t, "p")
	_, err := store.Put(t.Context(), "o/a", nil, object.Condition{})
	expectS3(t, "put", err, errNone, strings.TrimPrefix(server.URL, "http://"))
}

func TestS3AsksForCredentials(t *testing.T) {
	server := newS3Server(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	_, err := server.open(t, "p").Put(t.Context(), "o/a", nil, object.Condition{})
	expectS3(t, "put", err, errNone, "give it credentials: AWS_ACCESS_KEY_ID")
	if server.requests.Load() != 0 {
		t.Error("a request was made without credentials")
	}
}

// An empty If-Match would be no condition, and a star one that always holds.
func TestS3RefusesTagsThatAreNone(t *testing.T) {
	server := newS3Server(t)
	store := server.open(t, "p")
	for _, tag := range []object.Tag{"", "*", `"a", "b"`, "a\r\nX: y"} {
		_, err := store.Put(t.Context(), "o/a", nil, object.IfMatch(tag))
		expectRefused(t, err, "not a tag")
		expectRefused(t, store.Delete(t.Context(), "o/a", object.IfMatch(tag)), "not a tag")
	}
	expectRefused(t, store.Delete(t.Context(), "o/a", object.IfAbsent()), "that is there")
	if server.requests.Load() != 0 {
		t.Error("a request was made")
	}
}

func expectRefused(t *testing.T, err error, says string) {
	t.Helper()
	if !errors.Is(err, object.ErrRefused) || !strings.Contains(err.Error(), says) {
		t.Errorf("got %v, want a refusal that says %q", err, says)
	}
}

func TestS3DeletesWhatIsNotThere(t *testing.T) {
	server := newS3Server(t)
	server.bends(says(404, "NoSuchKey", "gone")) // as Google's servers do
	if err := server.open(t, "p").Delete(t.Context(), "o/a", object.Condition{}); err != nil {
		t.Error(err)
	}
}

func TestS3ListsOnlyBlobs(t *testing.T) {
	server := newS3Server(t)
	server.page = 2
	store := server.open(t, "p")
	for _, key := range []string{"p/o/", "p/o/A", "p/o/a", "p/o/b", "p/o/c d", "p/o/e", "q/o/f"} {
		server.blobs[key] = s3Blob{}
	}
	server.blobs["p/o/e"] = s3Blob{body: []byte("abc")}
	names, err := store.List(t.Context(), "o", "", 3)
	if got := fmt.Sprint(names); got != "[{o/a 0} {o/b 0} {o/e 3}]" || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestS3RefusesListingsThatGoWrong(t *testing.T) {
	const head, tail = `<?xml version="1.0"?><ListBucketResult>`, `</ListBucketResult>`
	for what, c := range map[string]struct{ body, says string }{
		"order":             {head + `<Contents><Key>p/o/b</Key><Size>1</Size></Contents><Contents><Key>p/o/a</Key><Size>1</Size></Contents>` + tail, "order of bytes"},
		"ignored prefix":    {head + `<Contents><Key>z</Key></Contents>` + tail, "for the prefix"},
		"ignored after":     {head + `<Contents><Key>p/o/a</Key></Contents>` + tail, "order of bytes"},
		"no size":           {head + `<Contents><Key>p/o/b</Key></Contents>` + tail, "without its size"},
		"more, but nowhere": {head + `<IsTruncated>true</IsTruncated>` + tail, "not where"},
		"cut off":           {head + `<Contents><Key>p/o/b`, ""},
	} {
		server := newS3Server(t)
		server.bends(saysBare(200, c.body))
		_, err := server.open(t, "p").List(t.Context(), "o/", "o/a", 10)
		t.Run(what, func(t *testing.T) { expectS3(t, "list", err, errNone, c.says) })
	}
}

// The start-up check on servers that get something wrong.
func TestCheckRefusesBrokenS3Servers(t *testing.T) {
	without := func(header string) s3Bend {
		return func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
			if r.Method == http.MethodPut {
				r.Header.Del(header)
			}
			serve(w, r)
		}
	}
	missing := func(bend s3Bend) s3Bend {
		return func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
			if r.Method == http.MethodGet {
				bend(w, r, serve)
				return
			}
			serve(w, r)
		}
	}
	for what, c := range map[string]struct {
		bend s3Bend
		says string
	}{
		"ignores If-None-Match":    {without("If-None-Match"), "8 of 8 writers won"},
		"ignores If-Match":         {without("If-Match"), "8 of 8 writers won"},
		"denies what is not there": {missing(says(403, "AccessDenied", "Access Denied")), "s3:ListBucket"},
		"has a bare 404":           {missing(saysBare(404, htmlNotFound)), "check that the endpoint is an S3 server's"},
		"lacks the bucket":         {says(404, "NoSuchBucket", "none"), "make the bucket"},
		"is for reading only": {func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
			if r.Method == http.MethodPut {
				refuse(w, 403, "AccessDenied", "Access Denied")
				return
			}
			serve(w, r)
		}, "grant s3:PutObject"},
		"knows no conditional puts": {func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
			if r.Header.Get("If-None-Match") != "" {
				refuse(w, 501, "NotImplemented", "A header you provided implies functionality that is not implemented")
				return
			}
			serve(w, r)
		}, "use another"},
		"gives weak tags": {func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
			weak := weakTags{w}
			serve(weak, r)
			weak.weaken()
		}, "none of 8 writers won"},
	} {
		server := newS3Server(t)
		server.bends(c.bend)
		_, err := Check(t.Context(), server.open(t, "p"))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("a server that %s: got %v, want it to say %q", what, err, c.says)
		}
	}
}

// weakTags are those that some proxies make of a server's.
type weakTags struct{ http.ResponseWriter }

func (w weakTags) Write(b []byte) (int, error) {
	w.weaken()
	return w.ResponseWriter.Write(b)
}

func (w weakTags) weaken() {
	if tag := w.Header().Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		w.Header().Set("ETag", "W/"+tag)
	}
}

func TestCheckFindsConditionalDeletesOfS3(t *testing.T) {
	for what, c := range map[string]struct {
		bend s3Bend
		want bool
	}{
		"honours": {nil, true},
		"ignores": {func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
			if r.Method == http.MethodDelete {
				r.Header.Del("If-Match")
			}
			serve(w, r)
		}, false},
		"refuses": {func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
			if r.Method == http.MethodDelete && r.Header.Get("If-Match") != "" {
				refuse(w, 501, "NotImplemented", "A header you provided implies functionality that is not implemented")
				return
			}
			serve(w, r)
		}, false},
		"honours, but not where there is no blob, the": {func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
			if r.Method == http.MethodDelete && r.Header.Get("If-Match") != "" {
				kept := httptest.NewRecorder()
				serve(kept, r)
				if kept.Code == 404 {
					w.WriteHeader(204)
					return
				}
				w.WriteHeader(kept.Code)
				w.Write(kept.Body.Bytes())
				return
			}
			serve(w, r)
		}, false},
	} {
		server := newS3Server(t)
		server.bends(c.bend)
		can, err := Check(t.Context(), server.open(t, "p"))
		if err != nil || can.ConditionalDelete != c.want {
			t.Errorf("a server that %s conditions of deletes: got %+v, %v", what, can, err)
		}
		if len(server.blobs) != 0 {
			t.Errorf("a server that %s conditions of deletes: the check has left %v", what, server.blobs)
		}
	}
}

func BenchmarkS3Put(b *testing.B) {
	server := newS3Server(b)
	store, ctx := server.open(b, "p"), b.Context()
	name, body := BlobName(testKey), make([]byte, 100)
	tag, err := store.Put(ctx, name, body, object.IfAbsent())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs() // the server's too
	for i := 0; b.Loop(); i++ {
		body[0] = byte(i)
		if tag, err = store.Put(ctx, name, body, object.IfMatch(tag)); err != nil {
			b.Fatal(err)
		}
	}
}

// A server that looks up the tag after it has opened the body can give parts of two puts. Under such a tag the
// commit loop would overwrite a record that it has not read.
func TestS3GivesNoBodyWithAnothersTag(t *testing.T) {
	server := newS3Server(t)
	store, ctx := server.open(t, "p"), t.Context()
	if _, err := store.Put(ctx, "o/a", []byte("new"), object.IfAbsent()); err != nil {
		t.Fatal(err)
	}
	tag := server.blobs["p/o/a"].etag
	torn := true
	server.bends(func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
		if !torn {
			serve(w, r)
			return
		}
		torn = false
		w.Header().Set("ETag", tag)
		w.Header().Set("Content-Length", "3")
		io.WriteString(w, "old")
	})
	if body, got, err := store.Get(ctx, "o/a"); string(body) != "new" || string(got) != tag || err != nil {
		t.Errorf("got %q, %q, %v", body, got, err)
	}
}

// How often a blob is read depends on whether its tag can be told to be its own.
func TestS3ReadsTwiceWhatItCannotTell(t *testing.T) {
	server := newS3Server(t)
	store := server.open(t, "p")
	for _, c := range []struct {
		isAWS    bool
		tag      string
		requests int32
	}{
		{false, `"841a2d689ad86bd1611447453c22c6fc"`, 1}, // md5 -s body
		{false, `"841a2d689ad86bd1611447453c22c6fd"`, 2},
		{false, `"some-other-form"`, 2},
		{true, `"some-other-form"`, 1},
	} {
		store.isAWS = c.isAWS
		server.requests.Store(0)
		server.bends(func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
			w.Header().Set("ETag", c.tag)
			w.Header().Set("Content-Length", "4")
			io.WriteString(w, "body")
		})
		body, tag, err := store.Get(t.Context(), "o/a")
		if string(body) != "body" || string(tag) != c.tag || err != nil || server.requests.Load() != c.requests {
			t.Errorf("%+v: got %q, %q, %v in %d requests", c, body, tag, err, server.requests.Load())
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A client of the caller's own may be less careful about lengths than net/http's transport.
func TestS3CountsWhatItReads(t *testing.T) {
	setS3Environment(t)
	short := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		head := http.Header{"Etag": {`"abc"`}, "Content-Length": {"100"}}
		return &http.Response{StatusCode: 200, Header: head, Body: io.NopCloser(strings.NewReader("short")), ContentLength: 100, Request: r}, nil
	})}
	store, err := OpenS3(t.Context(), S3Options{Bucket: testBucket, Prefix: "p", Endpoint: "http://h:1", Client: short})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	_, _, err = store.Get(t.Context(), "o/a")
	expectS3(t, "get", err, errNone, "broke off after 5 of 100 bytes")
}
