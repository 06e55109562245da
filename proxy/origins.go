package proxy

import (
	"net/url"
	"path"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// Browsers ask before a page may talk to a node of another origin, and keep from it what the node does not let it see.

var (
	headerOrigin        = []byte("Origin")
	headerAskedMethod   = []byte("Access-Control-Request-Method")
	headerAskedHeaders  = []byte("Access-Control-Request-Headers")
	headerAllowOrigin   = []byte("Access-Control-Allow-Origin")
	headerAllowMethods  = []byte("Access-Control-Allow-Methods")
	headerAllowHeaders  = []byte("Access-Control-Allow-Headers")
	headerAllowMaxAge   = []byte("Access-Control-Max-Age")
	headerExposeHeaders = []byte("Access-Control-Expose-Headers")
	headerVary          = []byte("Vary")
	valueOrigin         = []byte("Origin")
	valueAll            = []byte("*")
	valueMethods        = []byte("GET, HEAD, POST, PUT, PATCH, DELETE")
	valueTwoHours       = []byte("7200") // as long as any browser remembers it
)

// CheckOrigin says what is wrong with a pattern of Options.Origins, or nil.
func CheckOrigin(pattern string) error {
	_, err := path.Match(pattern, "")
	return err
}

// allowsOrigin says that pages of an origin may talk to the node: by its host, or by its scheme, too, where the pattern has one.
func (s *Server) allowsOrigin(origin []byte) bool {
	if len(origin) == 0 {
		return false
	}
	u, err := url.Parse(strings.ToLower(string(origin)))
	if err != nil || u.Host == "" {
		return false
	}
	for _, pattern := range s.o.Origins {
		whole := u.Host
		if strings.Contains(pattern, "://") {
			whole = u.Scheme + "://" + u.Host
		}
		if is, _ := path.Match(strings.ToLower(pattern), whole); is {
			return true
		}
	}
	return false
}

// letOrigin lets the page that asks see the answer, if it may.
func (x *exchange) letOrigin(h *fasthttp.ResponseHeader) {
	h.AddBytesKV(headerVary, valueOrigin)
	if origin := x.ctx.Request.Header.PeekBytes(headerOrigin); x.s.allowsOrigin(origin) {
		h.SetCanonical(headerAllowOrigin, origin)
		h.SetCanonical(headerExposeHeaders, valueAll)
	}
}

// isPreflight says that a browser asks whether a page may ask.
func (x *exchange) isPreflight() bool {
	h := &x.ctx.Request.Header
	return len(x.s.o.Origins) > 0 && x.ctx.IsOptions() && len(h.PeekBytes(headerAskedMethod)) > 0
}

// preflight answers it. It shows no key.
func (x *exchange) preflight() *dialect.Error {
	if origin := x.ctx.Request.Header.PeekBytes(headerOrigin); !x.s.allowsOrigin(origin) {
		return fail(codeForbidden, "", "pages of "+quoteShort(origin)+" may not talk to this node; start it with --allow-origin for them")
	}
	x.setHeaders()
	h := &x.ctx.Response.Header
	h.SetCanonical(headerAllowMethods, valueMethods)
	if asked := x.ctx.Request.Header.PeekBytes(headerAskedHeaders); len(asked) > 0 {
		h.SetCanonical(headerAllowHeaders, asked)
	}
	h.SetCanonical(headerAllowMaxAge, valueTwoHours)
	x.status = fasthttp.StatusNoContent
	x.ctx.Response.SetStatusCode(x.status)
	return nil
}
