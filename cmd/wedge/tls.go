package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/wedge-proxy/wedge/proxy"
)

// tlsOptions say how clients reach the data plane: in the clear unless they name a certificate.
type tlsOptions struct {
	Cert  string `name:"tls-cert" placeholder:"FILE" help:"Speak TLS with this certificate (PEM, with those between it and its authority); it is read again when it changes."`
	Key   string `name:"tls-key" placeholder:"FILE" help:"The certificate's key (PEM)."`
	Plain bool   `name:"h2c" help:"Without TLS, let clients speak HTTP/2, too."`

	ACME acmeOptions `embed:""`
}

// settings are the options by their names in a settings file.
func (o *tlsOptions) settings(to map[string]any) {
	to["tls_cert"], to["tls_key"], to["h2c"] = &o.Cert, &o.Key, &o.Plain
	o.ACME.settings(to)
}

// merge takes from a settings file in dir what the flags left open.
func (o *tlsOptions) merge(f *tlsOptions, dir string) {
	for _, path := range []*string{&f.Cert, &f.Key} {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
	if o.Cert == "" && o.Key == "" {
		o.Cert, o.Key = f.Cert, f.Key
	}
	o.Plain = o.Plain || f.Plain
	o.ACME.merge(&f.ACME, dir)
}

func (o *tlsOptions) check() error {
	switch {
	case o.Cert != "" && o.Key == "":
		return errors.New("--tls-cert needs --tls-key FILE, too: the certificate's key")
	case o.Key != "" && o.Cert == "":
		return errors.New("--tls-key needs --tls-cert FILE, too: the certificate that it belongs to")
	case o.Cert != "" && len(o.ACME.Domains) > 0:
		return errors.New("--tls-cert and --acme-domain exclude each other: a certificate is given, or got")
	case len(o.ACME.Domains) > 0 && o.Plain:
		return errors.New("--h2c is for clients without TLS: with --acme-domain they speak HTTP/2 anyway")
	case o.Cert != "" && o.Plain:
		return errors.New("--h2c is for clients without TLS: with --tls-cert they speak HTTP/2 anyway")
	}
	return o.ACME.check()
}

// checkOrigins refuses patterns of web origins that mean nothing.
func checkOrigins(patterns []string) error {
	for _, p := range patterns {
		if err := proxy.CheckOrigin(p); err != nil {
			return fmt.Errorf("--allow-origin %s: %w; name a host such as app.example.com or *.example.com", p, err)
		}
	}
	return nil
}

// config is the configuration for the listener, or nil where there is no TLS.
func (o *tlsOptions) config(log *slog.Logger) (*tls.Config, error) {
	if o.Cert == "" {
		return nil, nil // or the node gets itself certificates
	}
	f := &certificateFile{cert: o.Cert, key: o.Key, log: log}
	if err := f.load(); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: f.get}, nil
}

// certificateFile is a certificate that somebody renews now and then. It is safe for concurrent use.
type certificateFile struct {
	cert, key string
	log       *slog.Logger

	mu     sync.Mutex
	loaded *tls.Certificate
	seen   [2]fileState
	next   time.Time // when to look again
}

// fileState is what a file shows of a change.
type fileState struct {
	changed time.Time
	size    int64
}

// certificateLook is how often the files are looked at, at most.
const certificateLook = time.Second

// get is a tls.Config's GetCertificate. Files that cannot be used leave the last good certificate in use.
func (f *certificateFile) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.After(f.next) {
		f.next = now.Add(certificateLook)
		if f.changed() {
			if err := f.load(); err != nil {
				f.log.Error("the new certificate cannot be used; the last good one stays in use", "error", err)
			} else {
				f.log.Info("a new certificate is in use", "file", f.cert)
			}
		}
	}
	return f.loaded, nil
}

func (f *certificateFile) changed() bool { return f.look() != f.seen }

func (f *certificateFile) look() (seen [2]fileState) {
	for i, path := range []string{f.cert, f.key} {
		if info, err := os.Stat(path); err == nil {
			seen[i] = fileState{info.ModTime(), info.Size()}
		}
	}
	return seen
}

// load reads the files. What it has seen counts as seen even if it cannot be used.
func (f *certificateFile) load() error {
	f.seen = f.look()
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			return fmt.Errorf("cannot read the certificate for TLS: %w; --tls-cert and --tls-key name its files", err)
		}
		return fmt.Errorf("cannot use the certificate in %s with the key in %s: %w", f.cert, f.key, err)
	}
	if leaf := pair.Leaf; leaf != nil && time.Now().After(leaf.NotAfter) {
		f.log.Warn("the certificate has expired: clients will refuse it", "file", f.cert, "expired", leaf.NotAfter.Format(time.DateOnly))
	}
	f.loaded = &pair
	return nil
}

// scheme is what the data plane's URLs begin with.
func (o *tlsOptions) scheme() string {
	if o.Cert != "" || len(o.ACME.Domains) > 0 {
		return "https"
	}
	return "http"
}
