package proxy

import (
	"fmt"
	"net/textproto"
	"net/url"

	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/proxy/budget"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/route"
	"github.com/wedge-proxy/wedge/proxy/upstream"
	"github.com/wedge-proxy/wedge/wire"
)

// provider is a provider as requests use it.
type provider struct {
	*wire.Provider
	dialect   dialect.ID
	chatsOnly bool // it has no Responses API
	endpoint  *upstream.Endpoint
	gate      *route.Gate
	head      []byte          // header lines that every request carries: its credentials, and what the catalog says
	sets      map[string]bool // the headers among them
	query     []byte          // arguments that every request's path carries
	secrets   []string        // what no answer may show
	accounts  []*budget.Account
}

// ownAuth is where the dialects' own servers look for a key.
var ownAuth = [dialect.IDs]string{"bearer", "x-api-key", "x-goog-api-key"}

func (s *Server) compileProvider(p *wire.Provider) (*provider, error) {
	e, err := s.endpoint(p)
	if err != nil {
		return nil, fmt.Errorf("provider %s: %w", p.Name, err)
	}
	d, ok := dialect.Named(p.Dialect)
	if !ok {
		return nil, fmt.Errorf("provider %s: this node does not speak the dialect %s", p.Name, p.Dialect)
	}
	c := &provider{Provider: p, dialect: d, chatsOnly: p.NoResponses, endpoint: e, gate: s.live.Gate(p.Name), sets: map[string]bool{}}
	if err := s.addCredentials(c); err != nil {
		return nil, fmt.Errorf("provider %s: %w", p.Name, err)
	}
	for _, h := range p.Headers {
		value := h.Value
		if wire.IsSecretRef(value) {
			if value, err = s.secret(c, value); err != nil {
				return nil, fmt.Errorf("provider %s: headers.%s: %w", p.Name, h.Name, err)
			}
		}
		c.addHeader(h.Name, value)
	}
	if p.AzureVersion != "" {
		c.addArgument("api-version", p.AzureVersion)
	}
	return c, nil
}

// addCredentials puts the provider's key where it looks for it.
func (s *Server) addCredentials(c *provider) error {
	if c.APIKey == "" {
		return nil
	}
	secret, err := s.secret(c, c.APIKey)
	if err != nil {
		return fmt.Errorf("api_key: %w", err)
	}
	auth := c.Auth
	switch {
	case auth != "":
	case c.AzureVersion != "":
		auth = "api-key"
	default:
		auth = ownAuth[c.dialect]
	}
	switch auth {
	case "bearer":
		c.addHeader("authorization", "Bearer "+secret)
	case "query":
		c.addArgument("key", secret)
	default:
		c.addHeader(auth, secret)
	}
	return nil
}

// secret is what a reference stands for. No answer may show it.
func (s *Server) secret(c *provider, ref string) (string, error) {
	secret, err := s.o.Secret(ref)
	if err != nil {
		return "", err
	}
	if !printable(secret) {
		return "", fmt.Errorf("the secret holds characters that no header may hold")
	}
	c.secrets = append(c.secrets, secret)
	return secret, nil
}

func (c *provider) addHeader(name, value string) {
	name = textproto.CanonicalMIMEHeaderKey(name)
	c.sets[name] = true
	c.head = append(append(append(append(c.head, name...), ": "...), value...), "\r\n"...)
}

func (c *provider) addArgument(name, value string) {
	if len(c.query) > 0 {
		c.query = append(c.query, '&')
	}
	c.query = append(append(append(c.query, name...), '='), url.QueryEscape(value)...)
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// without is a client's query without what the provider's own says.
func (c *provider) without(query []byte) []byte {
	if c.AzureVersion == "" || len(query) == 0 {
		return query
	}
	var args fasthttp.Args
	args.ParseBytes(query)
	args.Del("api-version")
	return args.QueryString()
}

// appendDeployment appends the beginning of a path of OpenAI's API at Azure, where the model is a deployment in the path
// of every operation but responses.
func (c *provider) appendDeployment(dst []byte, op dialect.Op, t *target) []byte {
	if c.AzureVersion == "" || op == dialect.OpResponses || t.Model == "" {
		return dst
	}
	return append(append(dst, "/deployments/"...), url.PathEscape(t.Model)...)
}
