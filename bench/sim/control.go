package sim

import (
	"encoding/json"
	"fmt"

	"github.com/valyala/fasthttp"
)

// controlPrefix is where the simulator is steered and asked; the provider it plays has nothing there.
const controlPrefix = "/sim/"

// control answers /sim/….
func (s *Server) control(ctx *fasthttp.RequestCtx) {
	switch string(ctx.Method()) + " " + string(ctx.Path()) {
	case "GET /sim/requests":
		reply := map[string]any{
			"requests": s.log.since(parseSince(ctx.QueryArgs().Peek("since"))), "log_size": s.opts.LogSize,
			"open": s.stats.openRequests.Load(), "open_streams": s.stats.openStreams.Load(),
		}
		writeJSON(ctx, reply)
	case "DELETE /sim/requests":
		s.log.clear()
		ctx.SetStatusCode(fasthttp.StatusNoContent)
	case "GET /sim/stats":
		writeJSON(ctx, s.stats.snapshot())
	case "GET /sim/script":
		writeJSON(ctx, s.script.pending())
	case "POST /sim/script":
		s.postScript(ctx)
	case "DELETE /sim/script":
		s.script.clear()
		ctx.SetStatusCode(fasthttp.StatusNoContent)
	default:
		refuse(ctx, fasthttp.StatusNotFound, fmt.Errorf("there is no %s %s; use GET or DELETE /sim/requests, GET /sim/stats, or GET, POST or DELETE /sim/script",
			ctx.Method(), ctx.Path()))
	}
}

func (s *Server) postScript(ctx *fasthttp.RequestCtx) {
	var steps []Step
	if err := json.Unmarshal(ctx.Request.Body(), &steps); err != nil {
		refuse(ctx, fasthttp.StatusBadRequest, fmt.Errorf(`cannot read the script: %w; send [{"fail":"500","count":2},{"fail":""}]`, err))
		return
	}
	if err := s.script.add(steps); err != nil {
		refuse(ctx, fasthttp.StatusBadRequest, fmt.Errorf("cannot take the script: %w", err))
		return
	}
	ctx.SetStatusCode(fasthttp.StatusNoContent)
}

func refuse(ctx *fasthttp.RequestCtx, status int, err error) {
	writeJSON(ctx, map[string]string{"error": err.Error()})
	ctx.SetStatusCode(status)
}

func writeJSON(ctx *fasthttp.RequestCtx, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		ctx.Error(err.Error(), fasthttp.StatusInternalServerError)
		return
	}
	ctx.SetContentType(typeJSON)
	ctx.SetBody(body)
}
