package sim

import "github.com/valyala/fasthttp"

// listed are the models that the provider names; it answers for any other name as well.
var listed = [...]string{
	"gpt-4o", "gpt-4o-mini", "gpt-5", "gpt-5-mini", "sim-small", "sim-large", "text-embedding-3-small",
	"text-embedding-3-large",
}

// serveModels answers GET /v1/models.
func serveModels(*Server, *fasthttp.RequestCtx, string) (*answer, *failure) {
	out := &answer{status: 200, contentType: typeJSON}
	out.put(`{"object":"list","data":[`)
	for i, name := range listed {
		if i > 0 {
			out.put(",")
		}
		out.putModel(name)
	}
	out.put("]}")
	return out, nil
}

// serveModel answers GET /v1/models/{id}.
func serveModel(_ *Server, _ *fasthttp.RequestCtx, id string) (*answer, *failure) {
	name, list, f := pathModel(id)
	if f != nil {
		return nil, f
	}
	out := &answer{status: 200, contentType: typeJSON, model: name, opts: list}
	out.putModel(name)
	return out, nil
}

func (a *answer) putModel(name string) {
	a.put(`{"id":`)
	a.putJSON(name)
	a.put(`,"object":"model","created":` + noStamp + `,"owned_by":"wedge-sim"}`)
}
