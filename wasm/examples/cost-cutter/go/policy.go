//go:build wasip1

// A policy that saves money: a short, plain prompt goes to a cheap model, any other to the cheapest target that is
// well. Its config is {"model": "small-bot", "tokens": 400}.
package main

import (
	"math"

	wedge1 "github.com/wedge-proxy/wedge/wasm/sdk/go"
)

var (
	cheapModel string
	shortest   int64
)

func init() {
	wedge1.Serve(wedge1.Policy{Caps: wedge1.Targets, Init: configure, Request: request})
}

func configure(config []byte) error {
	cheapModel = string(wedge1.Member(config, "model"))
	shortest = wedge1.Int(wedge1.Member(config, "tokens"), 400)
	if shortest < 0 || shortest > math.MaxUint32 {
		return wedge1.ErrConfig
	}
	return nil
}

func request(r *wedge1.Request, a *wedge1.Actions) error {
	plain := !r.HasTools() && !r.HasImages() && !r.JSONOutput()
	if plain && cheapModel != "" && int64(r.PromptTokens()) <= shortest {
		a.Model(cheapModel)
		return nil
	}
	if name := cheapest(r.Targets()); name != nil {
		a.TargetBytes(name)
	}
	return nil
}

// cheapest is the name of a target that is well and whose prices are known, nil if there is none.
func cheapest(targets wedge1.Rows) (name []byte) {
	least := uint64(math.MaxUint64)
	for i := range targets.Len() {
		t := targets.At(i)
		if !t.Healthy() || t.Breaker() || t.PriceIn() == math.MaxUint32 || t.PriceOut() == math.MaxUint32 {
			continue
		}
		// Of a thousand tokens in and as many out.
		if price := uint64(t.PriceIn()) + uint64(t.PriceOut()); price < least {
			least, name = price, t.Name()
		}
	}
	return name
}

func main() {}
