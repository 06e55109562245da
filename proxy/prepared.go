package proxy

import (
	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/internal/obs"
	"github.com/wedge-proxy/wedge/proxy/catalog"
)

// preparedHit is what the answers from one entry to equal requests have in common, put together once.
type preparedHit struct {
	version          *version // that policies may have chosen
	exp              *catalog.Experiment
	arm              int
	provider, target string // of the entry
	dropped          string
	header           fasthttp.ResponseHeader
	line             []byte // of the access log
}

// preparedHit is what was prepared for this answer, or nil.
func (x *exchange) preparedHit() *preparedHit {
	if !x.preparable() {
		return nil
	}
	p := x.recalled.hit.Load()
	if p == nil || p.version != x.version || p.exp != x.exp || p.arm != x.arm || p.provider != x.entry.Provider || p.target != x.entry.Target || p.dropped != x.dropped {
		return nil
	}
	return p
}

// preparable says that the next equal request is likely to be answered like this one.
func (x *exchange) preparable() bool {
	return x.recalled != nil && x.cache == cacheHitMemory && x.failure == nil
}

// prepareHit keeps for the next equal request what its answer will have in common with this one.
func (x *exchange) prepareHit(line *obs.AccessRecord) {
	if !x.preparable() {
		return
	}
	p := &preparedHit{
		version: x.version, exp: x.exp, arm: x.arm, provider: x.entry.Provider, target: x.entry.Target, dropped: x.dropped, line: line.AppendShared(nil),
	}
	x.ctx.Response.Header.CopyTo(&p.header)
	if x.ruling != nil {
		x.ruling.forgetHeaders(&p.header)
	}
	x.recalled.hit.Store(p)
}
