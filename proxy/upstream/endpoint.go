package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

// Options describe an endpoint. Zero values mean the defaults.
type Options struct {
	BaseURL     string        // http or https, with the path that stands before every request's, e.g. https://api.openai.com/v1
	MaxConns    int           // open connections, idle ones included; default 16384
	DialTimeout time.Duration // connecting and the TLS handshake; default 5s
	IdleTimeout time.Duration // after which an idle connection is closed; default 30s. Keep it below the provider's own
	TLS         *tls.Config   // cloned; by default the system's roots, TLS 1.2 or newer, and a session cache
}

// Endpoint is one base URL and its connections. It is safe for concurrent use and outlives the configuration that
// named it.
type Endpoint struct {
	name     string // scheme and address, for errors
	addr     string
	path     string // of the base URL, without a trailing slash
	hostLine string // " HTTP/1.1\r\nHost: …\r\n"
	tls      *tls.Config
	dialer   net.Dialer
	connect  func(context.Context) (net.Conn, error) // makes a connection; nil: dial addr
	pool     pool
}

// NewEndpoint makes an endpoint; it connects to nothing yet.
func NewEndpoint(o Options) (*Endpoint, error) {
	u, err := url.Parse(o.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("cannot use base URL %q: %w", o.BaseURL, err)
	}
	if err := checkURL(u); err != nil {
		return nil, fmt.Errorf("cannot use base URL %q: %w", o.BaseURL, err)
	}
	e := &Endpoint{
		name:     u.Scheme + "://" + u.Host,
		addr:     address(u),
		path:     strings.TrimSuffix(u.EscapedPath(), "/"),
		hostLine: " HTTP/1.1\r\nHost: " + u.Host + "\r\n",
		dialer:   net.Dialer{Timeout: orDefault(o.DialTimeout, 5*time.Second)},
		pool:     pool{max: o.MaxConns, timeout: orDefault(o.IdleTimeout, 30*time.Second)},
	}
	if e.pool.max <= 0 {
		e.pool.max = 16384
	}
	if u.Scheme == "https" {
		e.tls = tlsConfig(o.TLS, u.Hostname())
	}
	return e, nil
}

// Close closes the idle connections. Attempts under way finish, and later ones still work, each on a connection of
// its own, so that whoever holds an endpoint across a configuration swap needs no care.
func (e *Endpoint) Close() { e.pool.close() }

// Conns counts the endpoint's connections; idle ones are among the open ones.
func (e *Endpoint) Conns() (open, idle int) { return e.pool.count() }

func checkURL(u *url.URL) error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("its scheme is neither http nor https")
	case u.Hostname() == "":
		return errors.New("it names no host")
	case u.User != nil:
		return errors.New("it holds credentials; put them into the provider's api_key")
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New("it has a query or a fragment; a base URL ends with its path")
	case !isTarget([]byte(u.Host)):
		return errors.New("its host is not a host name")
	}
	return nil
}

func address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func tlsConfig(c *tls.Config, host string) *tls.Config {
	if c = c.Clone(); c == nil {
		c = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if c.ServerName == "" {
		c.ServerName = host
	}
	if c.ClientSessionCache == nil {
		c.ClientSessionCache = tls.NewLRUClientSessionCache(64)
	}
	c.NextProtos = []string{"http/1.1"}
	return c
}

func orDefault(d, def time.Duration) time.Duration {
	if d <= 0 {
		return def
	}
	return d
}

// dial connects; ctx ends it early.
func (e *Endpoint) newConnection(ctx context.Context) (net.Conn, error) {
	if e.connect != nil {
		return e.connect(ctx)
	}
	return e.dialer.DialContext(ctx, "tcp", e.addr)
}

func (e *Endpoint) dial(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, e.dialer.Timeout)
	defer cancel()
	nc, err := e.newConnection(ctx)
	if err != nil {
		return nil, err
	}
	cn, err := newConn(nc)
	if err == nil && e.tls != nil {
		cn.tls = tls.Client(transport{nc, cn}, e.tls)
		err = cn.tls.HandshakeContext(ctx)
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return cn, nil
}
