package persist

import (
	"bufio"
	"crypto/md5"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// An s3Server speaks as much of S3's protocol as the store needs, for one bucket. Its answers can be bent.
type s3Server struct {
	*httptest.Server
	page     int // keys in one answer to a listing
	requests atomic.Int32

	bend atomic.Pointer[s3Bend]

	mu    sync.Mutex
	blobs map[string]s3Blob
}

type s3Blob struct {
	body []byte
	etag string
}

const testBucket = "bucket"

func newS3Server(tb testing.TB) *s3Server {
	s := &s3Server{blobs: make(map[string]s3Blob), page: 1000}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		w.Header().Set("X-Amz-Request-Id", "REQUEST-1")
		if bend := s.bend.Load(); bend != nil && *bend != nil {
			(*bend)(w, r, s.serve)
			return
		}
		s.serve(w, r)
	}))
	tb.Cleanup(s.Close)
	setS3Environment(tb)
	return s
}

// setS3Environment keeps the configuration of the machine that the tests run on out of them.
func setS3Environment(tb testing.TB) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "the-secret-key", "AWS_SESSION_TOKEN": "the-session-token",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_PROFILE": "", "AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_S3": "",
	} {
		tb.Setenv(name, value)
	}
}

// open opens a store on the server, under a prefix.
func (s *s3Server) open(tb testing.TB, prefix string) *S3 {
	store, err := OpenS3(tb.Context(), S3Options{Bucket: testBucket, Prefix: prefix, Endpoint: s.URL, Timeout: time.Minute})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { store.Close() })
	return store
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message><RequestId>REQUEST-1</RequestId></Error>", code, message)
}

func (s *s3Server) serve(w http.ResponseWriter, r *http.Request) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	blob, exists := s.blobs[key]
	match, absent := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
	switch {
	case bucket != testBucket:
		refuse(w, 404, "NoSuchBucket", "The specified bucket does not exist")
	case r.Method == http.MethodGet && key == "":
		s.list(w, r)
	case !exists && (r.Method == http.MethodGet || match != ""):
		refuse(w, 404, "NoSuchKey", "The specified key does not exist.")
	case exists && (absent == "*" || match != "" && match != blob.etag):
		refuse(w, 412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
	case r.Method == http.MethodGet:
		w.Header().Set("ETag", blob.etag)
		w.Header().Set("Content-Length", strconv.Itoa(len(blob.body)))
		w.Write(blob.body)
	case r.Method == http.MethodPut:
		blob = s3Blob{body, fmt.Sprintf(`"%x"`, md5.Sum(body))}
		s.blobs[key] = blob
		w.Header().Set("ETag", blob.etag)
	case r.Method == http.MethodDelete:
		delete(s.blobs, key)
		w.WriteHeader(http.StatusNoContent)
	default:
		refuse(w, 405, "MethodNotAllowed", r.Method)
	}
}

func (s *s3Server) list(w http.ResponseWriter, r *http.Request) {
	type content struct {
		Key  string
		Size int
	}
	var answer struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string `xml:",omitempty"`
		Contents              []content
	}
	query := r.URL.Query()
	after := query.Get("start-after")
	if token := query.Get("continuation-token"); token != "" {
		after = strings.TrimPrefix(token, "token:")
	}
	limit, _ := strconv.Atoi(query.Get("max-keys"))
	for _, key := range slices.Sorted(maps.Keys(s.blobs)) {
		if key <= after || !strings.HasPrefix(key, query.Get("prefix")) {
			continue
		}
		if n := len(answer.Contents); n == min(limit, s.page) {
			answer.IsTruncated, answer.NextContinuationToken = true, "token:"+answer.Contents[n-1].Key
			break
		}
		answer.Contents = append(answer.Contents, content{key, len(s.blobs[key].body)})
	}
	w.Header().Set("Content-Type", "application/xml")
	xml.NewEncoder(w).Encode(answer)
}

// How a server bends its answers.
type s3Bend func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc)

// bends has the server answer in this way from now on; nil: well.
func (s *s3Server) bends(b s3Bend) { s.bend.Store(&b) }

// says answers with an error of S3's form.
func says(status int, code, message string) s3Bend {
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) { refuse(w, status, code, message) }
}

// saysBare answers as a proxy would: without S3's error and its request id.
func saysBare(status int, body string) s3Bend {
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		w.Header().Del("X-Amz-Request-Id")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// losesAnswer does what it is asked and resets the connection.
func losesAnswer(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	serve(httptest.NewRecorder(), r)
	reset(w, "")
}

// reset sends raw bytes and resets the connection.
func reset(w http.ResponseWriter, raw string) {
	c, out, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	sendAndClose(c, out, raw, true)
}

func sendAndClose(c net.Conn, out *bufio.ReadWriter, raw string, abort bool) {
	out.WriteString(raw)
	out.Flush()
	if abort {
		c.(*net.TCPConn).SetLinger(0)
	}
	c.Close()
}

// sends answers with raw bytes and ends the connection in good order.
func sends(raw string) s3Bend {
	return func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		io.Copy(io.Discard, r.Body)
		c, out, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		sendAndClose(c, out, raw, false)
	}
}

// hangs answers nothing until the client is gone.
func hangs(_ http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
	io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}
