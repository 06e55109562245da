package cli

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// DefaultOrigin is where an origin listens that was told nothing else.
const DefaultOrigin = "http://127.0.0.1:8090"

// Options say which origin is asked, and as whom. What is empty is looked for in the data folder of an origin on this
// machine.
type Options struct {
	Origin    string // its URL
	Token     string
	TokenFile string // has the token in place of Token
	CA        string // file of certificates in PEM that the origin's is signed with, in place of the system's
	Data      string // an origin's data folder; "": the first of usualData that there is, for its own origin only
}

// usualData is where origins keep their data unless they are told otherwise.
var usualData = []string{"wedge-origin", "wedge-data"}

// access is what Options come to.
type access struct {
	base  *url.URL
	token string
	tls   *tls.Config
}

// settle finds out what the options leave open, and refuses what would tell the token to others.
func (o Options) settle() (*access, error) {
	data := findData(o)
	if o.Origin == "" {
		o.Origin = data.origin
	}
	if o.Origin == "" {
		o.Origin = DefaultOrigin
	}
	base, err := parseOrigin(o.Origin)
	if err != nil {
		return nil, err
	}
	if !data.named && data.origin != o.Origin { // its token is none of a stranger's business
		data = dataFolder{}
	}
	a := &access{base: base}
	if a.token, err = o.findToken(data); err != nil {
		return nil, err
	}
	a.tls, err = o.trusted(data)
	return a, err
}

// parseOrigin reads the URL of an origin. Errors do not repeat the URL where it may hold a password.
func parseOrigin(text string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(text))
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("the origin's address is not a URL such as " + DefaultOrigin + " or https://origin.example.com; correct --origin or WEDGE_ORIGIN")
	case u.User != nil:
		return nil, errors.New("the origin's URL holds a user name; take it out of --origin or WEDGE_ORIGIN, a token is what an origin asks for")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("the origin's URL %s://%s has more than a path; correct --origin or WEDGE_ORIGIN", u.Scheme, u.Host)
	case u.Scheme == "http" && !loopbackName(u.Hostname()):
		return nil, fmt.Errorf("cannot ask %s over plain HTTP: the token could be read on the way; use https:// for an origin that is not on this machine", u.Host)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = ""
	return u, nil
}

// loopbackName tells whether a host is this machine by its name. Where the name leads in truth is looked at when the
// connection is made.
func loopbackName(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// loopbackAddress tells whether an IP address and port is this machine's own.
func loopbackAddress(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func (o Options) findToken(data dataFolder) (string, error) {
	token, from := o.Token, "--token or WEDGE_TOKEN"
	if token == "" {
		path := o.TokenFile
		if path == "" {
			path = data.token
		}
		if path == "" {
			return "", errors.New("no token to show to the origin: set WEDGE_TOKEN, or name the file with --token-file (an origin's first one is in its data folder: admin.token)")
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("cannot read the token: %w", err)
		}
		token, from = string(text), path
	}
	token = strings.TrimSpace(token)
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("what " + from + " gives is not a token; want one word such as wo_…")
	}
	return token, nil
}

// trusted is whom the origin's certificate must come from.
func (o Options) trusted(data dataFolder) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	path := o.CA
	if path == "" {
		path = data.ca
	}
	if path == "" {
		return config, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the CA's certificate: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate; want a file in PEM such as the origin's ca.pem", path)
	}
	return config, nil
}

// dataFolder is what the data folder of an origin tells; "" where it does not.
type dataFolder struct {
	named     bool   // by the user
	origin    string // URL
	token, ca string // paths
}

func findData(o Options) dataFolder {
	if o.Data != "" {
		d := lookInto(o.Data)
		d.named = true
		return d
	}
	for _, dir := range usualData {
		if d := lookInto(dir); d.origin != "" {
			return d
		}
	}
	return dataFolder{}
}

// lookInto reads a data folder. An origin's files may lie in a folder of their own, beside the node's.
func lookInto(dir string) (d dataFolder) {
	var addresses struct {
		Origin string `json:"origin"`
	}
	if text, err := os.ReadFile(filepath.Join(dir, "addresses.json")); err == nil && json.Unmarshal(text, &addresses) == nil {
		d.origin = addresses.Origin
	}
	for _, sub := range []string{dir, filepath.Join(dir, "origin")} {
		if d.token == "" {
			d.token = existing(filepath.Join(sub, "admin.token"))
		}
		if d.ca == "" {
			d.ca = existing(filepath.Join(sub, "ca.pem"))
		}
	}
	return d
}

// existing is the path if a file is there.
func existing(path string) string {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return path
}
