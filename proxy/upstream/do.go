package upstream

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"
)

// staleWindow is how soon after a request was sent on a used connection its end, without a byte of an answer, means
// that the endpoint had closed it before: the request is sent again on a fresh one. A later end is an endpoint that
// died at work, and sending again could pay for the answer twice; that is for the caller to decide.
const staleWindow = time.Second

// Request is what one attempt sends. Nothing of it is kept after Do.
type Request struct {
	Method []byte // empty means POST
	Path   []byte // path and query, escaped, appended to the base URL's path
	// Head is header lines, "name: value\r\n" each. It must not hold host, content-length, transfer-encoding,
	// connection, or accept-encoding: the answer comes unencoded so that it can be read.
	Head []byte
	Body []byte

	FirstByte    time.Duration // for connecting, sending, and the whole response head; 0 means no limit but the dial's
	ChunkTimeout time.Duration // for each wait for bytes of the body; 0 means no limit
}

// Do sends the request and reads the response head, whatever its status; interim (1xx) responses are skipped. It
// first closes what is left of an earlier attempt. After an error the connection is closed already.
func (e *Endpoint) Do(c *Call, req *Request) error {
	c.Close()
	c.begin(e, req)
	if err := checkRequest(req); err != nil {
		return c.fail(PhaseDial, ErrRequest, err)
	}
	if c.aborted.Load() {
		return c.fail(PhaseDial, ErrAborted, nil)
	}
	start := time.Now()
	var deadline time.Time
	if req.FirstByte > 0 {
		deadline = start.Add(req.FirstByte)
	}
	cn, ok := e.pool.take()
	if !ok {
		return c.fail(PhaseDial, ErrBusy, nil)
	}
	if cn != nil {
		err := c.run(cn, req, deadline)
		if err == nil || !c.stale(err, start) {
			return c.finish(err)
		}
		c.hangUp()
	}
	cn, err := c.dial(deadline)
	if err != nil {
		e.pool.drop()
		return err
	}
	return c.finish(c.run(cn, req, deadline))
}

// finish closes a failed attempt's connection.
func (c *Call) finish(err error) error {
	if err != nil {
		c.err = err
		c.Close()
	}
	return err
}

func checkRequest(req *Request) error {
	if len(req.Path) > 0 && req.Path[0] != '/' {
		return errors.New("its path does not begin with a slash")
	}
	if !isTarget(req.Path) || !isToken(req.Method) {
		return errors.New("its method or path holds white space or control characters")
	}
	if n := len(req.Head); n > 0 && (n < 2 || req.Head[n-2] != '\r' || req.Head[n-1] != '\n') {
		return errors.New("its head does not end with CRLF")
	}
	return nil
}

// isTarget reports whether b can stand in a request line.
func isTarget(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// dial makes a connection that Abort can interrupt. The deadline may be zero.
func (c *Call) dial(deadline time.Time) (*conn, error) {
	if deadline.IsZero() {
		deadline = time.Now().Add(c.endpoint.dialer.Timeout)
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	c.mu.Lock()
	c.cancel = cancel
	c.mu.Unlock()
	if c.aborted.Load() { // Abort may have come before there was anything to cancel
		cancel()
	}
	cn, err := c.endpoint.dial(ctx)
	c.mu.Lock()
	c.cancel = nil
	c.mu.Unlock()
	switch {
	case err == nil:
		return cn, nil
	case OwnShortage(err):
		return nil, c.fail(PhaseDial, ErrBusy, err)
	case isTimeout(err):
		return nil, c.fail(PhaseDial, ErrTimeout, err)
	default:
		return nil, c.fail(PhaseDial, ErrRefused, err)
	}
}

// OwnShortage reports whether a dial failed because this process or machine had no more files or memory for it, which says
// nothing about who was to be reached.
func OwnShortage(err error) bool {
	for _, errno := range [...]syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, errno) {
			return true
		}
	}
	var lookup *net.DNSError
	return errors.As(err, &lookup) && outOfFiles() // it keeps the text of its cause at most, and may have waited in vain
}

func outOfFiles() bool {
	f, err := os.Open(os.DevNull)
	if err == nil {
		_ = f.Close() // only read from
	}
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.As(err, &ne) && ne.Timeout()
}

// run sends the request on cn and reads the response head.
func (c *Call) run(cn *conn, req *Request, deadline time.Time) error {
	if !c.attach(cn) {
		return c.fail(PhaseDial, ErrAborted, nil)
	}
	if err := cn.tcp.SetDeadline(deadline); err != nil {
		return c.failNet(PhaseDial, err)
	}
	c.sent = true
	sendErr := c.send(cn, req)
	if sendErr != nil && isTimeout(sendErr) {
		return c.failNet(PhaseHead, sendErr)
	}
	// An endpoint that refuses a large body answers and closes while the body is being sent.
	if err := c.readHead(cn); err != nil {
		if sendErr != nil {
			err = sendErr
		}
		return c.failNet(PhaseHead, err)
	}
	if sendErr != nil {
		c.head.keep = false
	}
	return nil
}

// send writes the request; a small one leaves in one piece.
func (c *Call) send(cn *conn, req *Request) error {
	b := buffers.Get().(*buffer)
	head := c.endpoint.appendHead(b[:0], req)
	body := req.Body
	if len(head)+len(body) <= bufferSize {
		head, body = append(head, body...), nil
	}
	err := cn.write(head, body)
	buffers.Put(b)
	return err
}

func (e *Endpoint) appendHead(dst []byte, req *Request) []byte {
	if len(req.Method) == 0 {
		dst = append(dst, "POST "...)
	} else {
		dst = append(append(dst, req.Method...), ' ')
	}
	dst = append(append(dst, e.path...), req.Path...)
	if dst[len(dst)-1] == ' ' {
		dst = append(dst, '/')
	}
	dst = append(dst, e.hostLine...)
	dst = append(dst, req.Head...)
	if len(req.Body) > 0 || expectsLength(req.Method) {
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, int64(len(req.Body)), 10)
		dst = append(dst, "\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// expectsLength reports whether a method wants content-length: 0 for an empty body.
func expectsLength(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "DELETE", "OPTIONS":
		return false
	default:
		return true
	}
}

// readHead reads up to the end of the final response head.
func (c *Call) readHead(cn *conn) error {
	for budget := maxHead; ; {
		if err := c.readOneHead(cn); err != nil {
			return err
		}
		if c.head.status >= 200 {
			c.body = c.head.framing(c.headRequest)
			return nil
		}
		if c.head.status == 101 {
			return violation("switched protocols unasked")
		}
		if budget -= len(c.head.raw); budget < 0 {
			return violation("too many interim responses")
		}
		c.head.reset()
	}
}

func (c *Call) readOneHead(cn *conn) error {
	for {
		n, complete, err := c.head.take(cn.unread())
		cn.discard(n)
		if complete {
			return c.head.parse()
		}
		if err == nil {
			err = cn.fill()
		}
		if err != nil {
			return endOf(err)
		}
		c.answered = true
	}
}

// stale reports whether err means that a pooled connection had ended before the request came.
func (c *Call) stale(err error, start time.Time) bool {
	return errors.Is(err, ErrCut) && !c.answered && time.Since(start) < staleWindow
}
