package origin

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wedge-proxy/wedge/origin/vault"
)

// encrypts tells whether the origin speaks TLS at an address, and refuses to speak in the clear where others could
// listen.
func encrypts(mode, address string) (bool, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false, fmt.Errorf("cannot listen on %q: want host:port, such as 127.0.0.1:8090 or :8090", address)
	}
	switch mode {
	case "on":
		return true, nil
	case "", "auto":
		return !isLoopback(host), nil
	case "off":
		if !isLoopback(host) {
			return false, fmt.Errorf("cannot listen on %q without TLS: tokens and secrets could be read on their way; leave TLS on, or listen on 127.0.0.1", address)
		}
		return false, nil
	}
	return false, fmt.Errorf("TLS is %q; want auto, on or off", mode)
}

// isLoopback tells whether only this machine reaches a host, whatever a name service says.
func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.Unmap().IsLoopback()
}

// listen takes the address.
func (o *Origin) listen(encrypted bool) (err error) {
	if o.listener, err = net.Listen("tcp", o.options.Listen); err != nil {
		return fmt.Errorf("cannot listen on %s: %w; choose another address with %s, or port 0 for a free one", o.options.Listen, err, o.options.ListenFlag)
	}
	at := o.listener.Addr().(*net.TCPAddr)
	if !encrypted && !at.IP.IsLoopback() {
		return fmt.Errorf("cannot listen on %q without TLS: it is %s, which others reach", o.options.Listen, at)
	}
	asked, _, _ := net.SplitHostPort(o.options.Listen) // encrypts has read it before
	o.host = net.JoinHostPort(hostFor(asked, o.options.Hosts), strconv.Itoa(at.Port))
	if encrypted {
		o.tls, err = o.serverTLS(certificateHosts(asked, o.options.Hosts))
	}
	return err
}

// hostFor is the name by which clients reach the origin: the first that was given, what it listens on, or this machine.
func hostFor(asked string, hosts []string) string {
	if len(hosts) > 0 {
		return hosts[0]
	}
	if address, err := netip.ParseAddr(asked); asked == "" || err == nil && address.IsUnspecified() {
		return "127.0.0.1"
	}
	return asked
}

// certificateHosts are the names and addresses that the certificate is for.
func certificateHosts(asked string, hosts []string) []string {
	all := append(slices.Clone(hosts), "localhost", "127.0.0.1", "::1")
	if address, err := netip.ParseAddr(asked); asked != "" && (err != nil || !address.IsUnspecified()) {
		all = append(all, asked)
	}
	if name, err := os.Hostname(); err == nil {
		all = append(all, strings.ToLower(name))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// URL is where clients reach the origin.
func (o *Origin) URL() string {
	if o.tls == nil {
		return "http://" + o.host
	}
	return "https://" + o.host
}

// serverTLS presents a certificate of the vault's CA, and takes those that the CA issued to nodes. People need none.
func (o *Origin) serverTLS(hosts []string) (*tls.Config, error) {
	pem, _ := o.vault.CA()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("cannot read the origin's own certificate authority")
	}
	c := &certificate{vault: o.vault, hosts: hosts, now: time.Now}
	if _, err := c.get(nil); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, GetCertificate: c.get, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool,
	}, nil
}

// renewBefore is how long before its end a certificate is replaced.
const renewBefore = 30 * 24 * time.Hour

// certificate is the server's own, renewed in time.
type certificate struct {
	vault *vault.Vault
	hosts []string
	now   func() time.Time

	mu      sync.Mutex
	current *tls.Certificate
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil && c.now().Before(c.current.Leaf.NotAfter.Add(-renewBefore)) {
		return c.current, nil
	}
	made, err := c.vault.ServerCertificate(c.hosts)
	if err != nil {
		return nil, fmt.Errorf("cannot issue the origin's certificate: %w", err)
	}
	if made.Leaf == nil {
		if made.Leaf, err = x509.ParseCertificate(made.Certificate[0]); err != nil {
			return nil, fmt.Errorf("cannot read the origin's certificate: %w", err)
		}
	}
	c.current = &made
	return c.current, nil
}
