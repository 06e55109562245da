package api

import (
	"net/http"
	"reflect"

	"github.com/wedge-proxy/wedge/origin/control"
	"github.com/wedge-proxy/wedge/origin/vault"
)

// route is one thing that can be asked for. The router, the check of the role, that of the query and the document are
// made from it.
type route struct {
	method, path string     // a pattern of http.ServeMux
	role         vault.Role // the least that may
	about        string
	endpoint
	query []param
}

// param is a parameter in the query.
type param struct {
	name  string
	kind  string // of JSON's schema
	about string
}

// endpoint is what answers, and what it takes and gives.
type endpoint struct {
	serve  func(c *call) error
	takes  reflect.Type // nil: no JSON
	gives  reflect.Type
	media  string // of the body, "" for JSON or none
	answer string // media of the answer, "" for JSON
	status int    // of the success that is usual
	guards bool   // it looks at If-Match and If-None-Match
}

// read is an endpoint without a body.
func read[T any](f func(c *call) (T, error)) endpoint {
	return endpoint{gives: reflect.TypeFor[T](), status: http.StatusOK, serve: func(c *call) error {
		answer, err := f(c)
		if err != nil {
			return err
		}
		return c.send(answer)
	}}
}

// write is an endpoint with a body of JSON. An empty body leaves B as it is.
func write[B, T any](f func(c *call, body B) (T, error)) endpoint {
	e := read(func(c *call) (answer T, err error) {
		var body B
		if err := c.decode(&body); err != nil {
			return answer, err
		}
		return f(c, body)
	})
	e.takes = reflect.TypeFor[B]()
	return e
}

// raw is an endpoint that reads and writes for itself.
func raw(media, answer string, f func(c *call) error) endpoint {
	return endpoint{media: media, answer: answer, status: http.StatusOK, serve: f}
}

// making says that the endpoint makes something new.
func making(e endpoint) endpoint {
	e.status = http.StatusCreated
	return e
}

// guarded says that the endpoint looks at If-Match and If-None-Match.
func guarded(e endpoint) endpoint {
	e.guards = true
	return e
}

// call is one request on its way through a route.
type call struct {
	*API
	x      *exchange
	r      *http.Request
	route  *route
	who    vault.Identity
	why    string // that the body tells
	status int
}

// serve answers a request that a route takes.
func (a *API) serve(w http.ResponseWriter, r *http.Request, to *route) {
	x := w.(*exchange) // ServeHTTP made it
	c := &call{API: a, x: x, r: r, route: to, status: to.status}
	err := c.admit()
	if err == nil {
		err = to.serve(c)
	}
	if err != nil {
		a.fail(x, r, err)
	}
}

// admit finds out who asks, and whether they may ask this.
func (c *call) admit() error {
	if err := c.identify(); err != nil {
		return err
	}
	if err := c.checkPath(); err != nil {
		return err
	}
	if h := c.r.Header; c.route.changes() && !c.route.guards && (h.Get("If-Match") != "" || h.Get("If-None-Match") != "") {
		return invalid("this does not look at If-Match or If-None-Match; leave them out")
	}
	return c.checkQuery()
}

// name is the last part of the path that names something.
func (c *call) name() string { return c.r.PathValue("name") }

// by is who changes something, and why.
func (c *call) by() control.By {
	return control.By{Actor: c.who.Name, Reason: c.reason(), Key: c.key()}
}

// key makes it safe to send the request again; "" where it does not.
func (c *call) key() string { return c.r.Header.Get("Idempotency-Key") }

func (c *call) reason() string {
	if c.why != "" {
		return c.why
	}
	if reason := c.r.URL.Query().Get("reason"); reason != "" {
		return reason
	}
	return c.r.Header.Get("X-Reason")
}

// changes tells whether the route changes something.
func (r *route) changes() bool { return r.method != http.MethodGet }
