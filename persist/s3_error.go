package persist

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/highlander-go/highlander/object"
)

// The only codes that anything but words hangs on.
const (
	codeNoSuchKey          = "NoSuchKey"
	codePreconditionFailed = "PreconditionFailed"
	codeRequestTimeout     = "RequestTimeout" // of status 400
)

// An s3Answer is an answer that says no. The zero value: there was none.
type s3Answer struct {
	status        int
	code, message string // of S3's own error; "" when the answer is not of its form: a proxy made it up
	request       string // its id, for who runs the store
	region        string // where the bucket is, if the answer says so
}

// answerOf takes out of the SDK's error what the store said.
func answerOf(err error) (a s3Answer) {
	var response *awshttp.ResponseError
	if errors.As(err, &response) && response.Response != nil {
		a.status, a.request = response.HTTPStatusCode(), response.ServiceRequestID()
		a.region = response.Response.Header.Get("X-Amz-Bucket-Region")
	}
	var api smithy.APIError
	if a.status == 0 || !errors.As(err, &api) {
		return a
	}
	// From an answer without S3's error document the SDK makes one up, out of the status. Proxies' answers are so.
	if madeUp := api.ErrorMessage() == http.StatusText(a.status); !madeUp || a.request != "" {
		a.code, a.message = api.ErrorCode(), api.ErrorMessage()
	}
	return a
}

// means is what is sure after the answer: a sentinel of package object, or nil when nothing is. matching says that
// the request asked for a tag.
func (a s3Answer) means(op operation, matching bool) error {
	switch {
	case a.status == http.StatusNotFound && a.code == codeNoSuchKey && (matching || op == opGet):
		return object.ErrNoBlob
	case op == opGet || op == opList:
		return nil
	case a.status == http.StatusPreconditionFailed && a.code == codePreconditionFailed:
		return object.ErrConditionFailed
	case a.status >= 300 && a.status < 500 && !a.again():
		return object.ErrRefused
	}
	return nil
}

// again tells of answers below 500 that a later attempt may not get. Where they come from a proxy the
// request may have gone on, and where they come from S3 trying again is all that there is to do: so nothing is known.
func (a s3Answer) again() bool {
	switch a.status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusPreconditionFailed, http.StatusTooEarly, http.StatusTooManyRequests, 499: // nginx: the client is gone
		return true
	}
	return a.code == codeRequestTimeout
}

// failed is the error of a request that went wrong. ctx is the caller's; matching says that it asked for a tag.
func (s *S3) failed(ctx context.Context, op operation, name string, matching bool, err error) error {
	a := answerOf(err)
	sure, hint := a.means(op, matching), a.hint(op)
	var said error
	switch {
	case ctx.Err() != nil && a.status == 0:
		said = fmt.Errorf("nothing was heard before the call was given up: %w", ctx.Err())
	case errors.Is(err, context.DeadlineExceeded): // ours; the caller's own would mean something else to it
		said = fmt.Errorf("no whole answer within %v", s.timeout)
	case a.code != "":
		said = fmt.Errorf("%s: %s (status %d, request %q)", a.code, shorten(a.message), a.status, a.request)
	case a.status >= 300:
		said = fmt.Errorf("an answer with status %d that is not S3's", a.status)
	default:
		said, hint = innermost(err), hintUnsent(err)
	}
	if hint != "" {
		said = fmt.Errorf("%w; %s", said, hint)
	}
	if sure != nil {
		said = fmt.Errorf("%w: %w", sure, said)
	}
	return op.failed(name, fmt.Errorf("s3://%s/%s: %w", s.bucket, s.prefix+name, said))
}

// innermost strips what the SDK says around an error that says enough by itself.
func innermost(err error) error {
	var sent *url.Error
	var operation *smithy.OperationError
	switch {
	case errors.As(err, &sent):
		return sent
	case errors.As(err, &operation):
		return operation.Err
	}
	return err
}

func hintUnsent(err error) string {
	if strings.Contains(err.Error(), "get identity") { // the SDK has no type for it
		return "give it credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role"
	}
	return ""
}

// hint says what to do about the answer.
func (a s3Answer) hint(op operation) string {
	switch a.code {
	case codeNoSuchKey, codePreconditionFailed:
		return "" // nothing is wrong
	case "NoSuchBucket":
		return "make the bucket, or correct its name"
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired":
		return "check the credentials that the AWS configuration gives"
	case "RequestTimeTooSkewed":
		return "set this machine's clock"
	case "NotImplemented":
		return "the server lacks what objects need; use another"
	case "AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect", "IllegalLocationConstraintException":
		return a.elsewhere()
	}
	switch a.status {
	case http.StatusForbidden:
		return map[operation]string{
			opGet:    "grant s3:GetObject and, on the bucket, s3:ListBucket: without that S3 also denies what is not there",
			opPut:    "grant s3:PutObject and s3:GetObject",
			opDelete: "grant s3:DeleteObject and s3:GetObject",
			opList:   "grant s3:ListBucket on the bucket",
		}[op]
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return "the store has too much to do: make fewer requests of it, or give it more room"
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return a.elsewhere()
	}
	if a.code == "" && a.status >= 300 && a.status < 500 {
		return "check that the endpoint is an S3 server's, and path_style"
	}
	return ""
}

func (a s3Answer) elsewhere() string {
	if a.region != "" {
		return fmt.Sprintf("the bucket is in region %q: set that", a.region)
	}
	return "the bucket is elsewhere: check its region and the endpoint"
}
