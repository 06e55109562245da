package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// acmeOptions say for which names the node gets itself certificates, and from whom (RFC 8555).
type acmeOptions struct {
	Domains   []string `name:"acme-domain" placeholder:"NAME" help:"Get a certificate for this name and speak TLS: the authority reaches the node at port 443 of it."`
	Email     string   `name:"acme-email" placeholder:"ADDRESS" help:"Whom the authority may write to about the certificates."`
	Directory string   `name:"acme-directory" placeholder:"URL" help:"The authority (default: Let's Encrypt). By using one you agree to its terms."`
	CA        string   `name:"acme-ca" placeholder:"FILE" help:"Trust this certificate (PEM) where the authority shows one of its own."`
}

func (o *acmeOptions) settings(to map[string]any) {
	to["acme_domain"], to["acme_email"], to["acme_directory"], to["acme_ca"] = &o.Domains, &o.Email, &o.Directory, &o.CA
}

// merge takes from a settings file in dir what the flags left open.
func (o *acmeOptions) merge(f *acmeOptions, dir string) {
	if f.CA != "" && !filepath.IsAbs(f.CA) {
		f.CA = filepath.Join(dir, f.CA)
	}
	if len(o.Domains) == 0 {
		o.Domains = f.Domains
	}
	for _, pair := range [...][2]*string{{&o.Email, &f.Email}, {&o.Directory, &f.Directory}, {&o.CA, &f.CA}} {
		if *pair[0] == "" {
			*pair[0] = *pair[1]
		}
	}
}

func (o *acmeOptions) check() error {
	if len(o.Domains) == 0 {
		if o.Email+o.Directory+o.CA != "" {
			return errors.New("--acme-email, --acme-directory and --acme-ca need --acme-domain NAME: what the certificate is for")
		}
		return nil
	}
	for _, name := range o.Domains {
		if net.ParseIP(name) != nil || !strings.Contains(strings.Trim(name, "."), ".") || strings.ContainsAny(name, "*/:") {
			return fmt.Errorf("--acme-domain %s: want a name that clients reach the node by, such as ai.example.com", name)
		}
	}
	if u, err := url.Parse(o.Directory); err != nil || o.Directory != "" && (u.Scheme != "https" || u.Host == "") {
		return fmt.Errorf("--acme-directory %s: want the https address of an authority's directory", o.Directory)
	}
	return nil
}

// acmeCertificates are the certificates that the node gets itself.
type acmeCertificates struct {
	o       acmeOptions
	manager autocert.Manager
	log     *slog.Logger
}

// newACME prepares to get certificates; they are kept in dir.
func newACME(o acmeOptions, dir string, log *slog.Logger) (*acmeCertificates, error) {
	a := &acmeCertificates{o: o, log: log}
	client := &acme.Client{DirectoryURL: o.Directory, UserAgent: "wedge/" + version}
	if o.Directory == "" {
		client.DirectoryURL = autocert.DefaultACMEDirectory
	}
	if o.CA != "" {
		pem, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, fmt.Errorf("cannot read --acme-ca: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--acme-ca %s holds no certificate in PEM", o.CA)
		}
		client.HTTPClient = &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}}}
	}
	a.manager = autocert.Manager{
		Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(dir), HostPolicy: autocert.HostWhitelist(o.Domains...), Email: o.Email, Client: client,
	}
	return a, nil
}

// get gets one certificate. The authority may take minutes, and cannot be interrupted: when ctx ends, it is let alone.
func (a *acmeCertificates) get(ctx context.Context, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	type result struct {
		certificate *tls.Certificate
		err         error
	}
	got := make(chan result, 1)
	go func() {
		c, err := a.manager.GetCertificate(hello)
		got <- result{c, err}
	}()
	select {
	case r := <-got:
		return r.certificate, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// config is for the listener. The authority's question comes over TLS, too (TLS-ALPN-01, RFC 8737).
func (a *acmeCertificates) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: a.manager.GetCertificate, NextProtos: []string{acme.ALPNProto}}
}

const (
	acmeAgain = time.Minute    // after a failure, doubled up to acmeLook
	acmeLook  = 12 * time.Hour // between looks at what has been had
)

// run gets the certificates before clients come for them, and sees to it that they stay good, until ctx ends.
func (a *acmeCertificates) run(ctx context.Context) error {
	wait := acmeAgain
	had := map[string]bool{}
	for {
		failed := false
		for _, name := range a.o.Domains {
			hello := &tls.ClientHelloInfo{
				ServerName: name, SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}, SupportedVersions: []uint16{tls.VersionTLS13},
				CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, SupportedCurves: []tls.CurveID{tls.CurveP256},
			}
			certificate, err := a.get(ctx, hello)
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil:
				failed = true
				a.log.Error("there is no certificate; clients cannot connect by this name until there is one",
					"name", name, "authority", a.manager.Client.DirectoryURL, "again in", wait, "error", err)
			case !had[name]:
				had[name] = true
				a.log.Info("a certificate is in use", "name", name, "until", certificate.Leaf.NotAfter.UTC().Format(time.RFC3339))
			}
		}
		pause := acmeLook
		if failed {
			pause = wait
			wait = min(2*wait, acmeLook)
		} else {
			wait = acmeAgain
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}
