package uplink

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/wire"
)

const callTime = 15 * time.Second

// maxAnswer is how many bytes an answer has at most that is neither a stream nor a blob. The longest are those to requests
// for leases: an origin reads 8 MiB of one, which tell of 200,000 pots at most, and says up to some 250 bytes of each.
const maxAnswer = 64 << 20

// caller asks one origin as the node.
type caller struct {
	origin string
	id     *identity // nil before the node has enrolled
	http   *http.Client
	now    func() time.Time
}

// call makes a caller of the present identity.
func (u *Uplink) call(origin string) *caller {
	id := u.identity()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	t := &http.Transport{Protocols: protocols, TLSHandshakeTimeout: callTime, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute}
	if strings.HasPrefix(origin, "https:") {
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: poolOf(u.authority()),
			Certificates: []tls.Certificate{{Certificate: [][]byte{id.certificate.Raw}, PrivateKey: id.key, Leaf: id.certificate}}}
	}
	return &caller{origin: origin, id: id, http: &http.Client{Transport: t, CheckRedirect: noRedirect}, now: u.o.now}
}

// noRedirect keeps what the node says from going anywhere else.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// originError is an answer that is no success.
type originError struct {
	wire.SyncError
	status int
	after  time.Duration // when to ask again; 0: nothing was said
}

func (e *originError) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("the origin answered with status %d", e.status)
	}
	return e.Message
}

// codeOf is the code of an origin's refusal; "" for every other error.
func codeOf(err error) string {
	if refused, ok := errors.AsType[*originError](err); ok {
		return refused.Code
	}
	return ""
}

// do asks, and returns an answer that is a success.
func (c *caller) do(ctx context.Context, method, path string, body io.Reader, headers ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.origin+path, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	if c.id != nil && req.URL.Scheme == "http" {
		req.Header.Set("Authorization", wire.SignRequest(c.id.key, c.id.certificate.Raw, method, req.URL.RequestURI(), c.now()))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }() // what matters was read
	refused := &originError{status: resp.StatusCode}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	_ = json.Unmarshal(text, &refused.SyncError) // a stranger's answer has no code
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds >= 0 {
		refused.after = min(time.Duration(seconds)*time.Second, time.Hour)
	}
	return nil, refused
}

// post says one thing and reads the answer, strictly, into what is not nil.
func (c *caller) post(ctx context.Context, path string, say, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	body, err := json.Marshal(say)
	if err != nil {
		return err
	}
	resp, err := c.do(ctx, http.MethodPost, path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it was read, or is of no use
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil || answer == nil {
		return err
	}
	if len(text) > maxAnswer {
		return fmt.Errorf("the origin's answer to %s has more than the %d MiB that are read of one", path, maxAnswer>>20)
	}
	if err := wire.DecodeStrict(text, answer); err != nil {
		return fmt.Errorf("the origin's answer to %s is not understood: %w", path, err)
	}
	return nil
}
