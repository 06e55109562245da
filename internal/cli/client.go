// Package cli is the operator's side of the origin's API: it asks, and prints the answers; it knows the API's requests
// and answers, not how an origin comes to them.
package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	apiPath    = "/api/v1/"
	maxAnswer  = 256 << 20        // bytes of JSON
	answerTime = 2 * time.Minute  // until an answer begins: policies are tried before a change is made
	dialTime   = 10 * time.Second // for one connection
)

// retryWaits is how long is waited before each further attempt.
var retryWaits = []time.Duration{200 * time.Millisecond, time.Second, 2 * time.Second}

// Client asks one origin. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
	wait  func(ctx context.Context, d time.Duration) error
}

// Open makes a client. Nothing is asked yet.
func Open(o Options) (*Client, error) {
	a, err := o.settle()
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: dialTime}
	transport := &http.Transport{
		TLSClientConfig: a.tls, ForceAttemptHTTP2: true, TLSHandshakeTimeout: dialTime, ResponseHeaderTimeout: answerTime,
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, IdleConnTimeout: time.Minute,
	}
	if a.base.Scheme == "http" {
		dialer.Control = onlyLoopback
	}
	return &Client{base: a.base, token: a.token, wait: sleep, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the token is for one host
	}}, nil
}

// Close gives up idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Origin is the URL of the origin.
func (c *Client) Origin() string { return c.base.String() }

var errNotLoopback = errors.New("this name leads to another machine, and the token could be read on the way there; use https://")

// onlyLoopback stops a connection in the clear to another machine, whatever its name says.
func onlyLoopback(_, address string, _ syscall.RawConn) error {
	if !loopbackAddress(address) {
		return errNotLoopback
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// call is one request.
type call struct {
	method string
	path   string // below the API's, escaped: see at
	query  url.Values
	body   []byte // nil: none
	media  string // of the body; "": JSON
	match  string // If-Match
}

// at is the path of a thing: its parts, each escaped.
func at(parts ...string) string {
	escaped := make([]string, len(parts))
	for i, p := range parts {
		escaped[i] = url.PathEscape(p)
	}
	return strings.Join(escaped, "/")
}

// do asks, again if the connection fails or the origin is not able to answer, and returns the answer's body. A change
// carries a key by which the origin knows it again. An answer that is no success is an *Error.
func (c *Client) do(ctx context.Context, r call) ([]byte, error) {
	response, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // what counts has been read
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the answer of the origin at %s broke off: %w", c.base, err)
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("the answer of the origin at %s is larger than %d MiB", c.base, maxAnswer>>20)
	}
	return body, nil
}

// send returns the first answer that is a success, with its body yet to be read.
func (c *Client) send(ctx context.Context, r call) (*http.Response, error) {
	key := ""
	if r.method != http.MethodGet && r.method != http.MethodHead {
		key = rand.Text()
	}
	for attempt := 0; ; attempt++ {
		response, err := c.once(ctx, r, key)
		pause, again := worthAnother(ctx, response, err)
		if again && attempt < len(retryWaits) {
			discard(response)
			if err := c.wait(ctx, max(pause, retryWaits[attempt])); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, c.unreachable(err)
		}
		if response.StatusCode < 200 || response.StatusCode > 299 {
			defer discard(response)
			return nil, c.readError(response)
		}
		return response, nil
	}
}

func (c *Client) once(ctx context.Context, r call, key string) (*http.Response, error) {
	target := c.base.String() + apiPath + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, r.method, target, bytes.NewReader(r.body))
	if err != nil {
		return nil, fmt.Errorf("cannot ask the origin for %s: %w", r.path, err)
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("User-Agent", "wedge")
	if r.body != nil {
		media := r.media
		if media == "" {
			media = "application/json"
		}
		request.Header.Set("Content-Type", media)
	}
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	if r.match != "" {
		request.Header.Set("If-Match", r.match)
	}
	return c.http.Do(request)
}

// maxPause is how long an origin may make us wait.
const maxPause = 10 * time.Second

// worthAnother tells whether the same request may succeed a little later, and how much later the origin wants it.
func worthAnother(ctx context.Context, response *http.Response, err error) (pause time.Duration, again bool) {
	if err != nil {
		return 0, ctx.Err() == nil && !hopeless(err)
	}
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(response.Header.Get("Retry-After")) // else 0: no wish
		pause = time.Duration(seconds) * time.Second
		return pause, pause <= maxPause
	}
	return 0, false
}

// discard ends an answer that nobody reads.
func discard(response *http.Response) {
	if response != nil {
		_ = response.Body.Close() // nothing was wanted of it
	}
}

// Blob makes sure that the origin has a blob, and tells whether it had to be sent.
func (c *Client) Blob(ctx context.Context, digest string, content []byte) (sent bool, err error) {
	path := "blobs/" + digest
	_, err = c.do(ctx, call{method: http.MethodHead, path: path})
	if e, is := errors.AsType[*Error](err); !is || e.Status != http.StatusNotFound {
		return false, err
	}
	_, err = c.do(ctx, call{method: http.MethodPut, path: path, body: content, media: "application/octet-stream"})
	return err == nil, err
}
