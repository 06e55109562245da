//go:build wasip1

// A policy that decides by a list of rules, the first that fits:
//
//	{"rules": [{"if": {"headers": {"x-plan": "free"}, "min_tokens": 100, "tenant": "acme"}, "then": {"target": "small"}}]}
//
// What stands under "then" is any object of actions.
package main

import (
	"encoding/json"

	wedge1 "github.com/wedge-proxy/wedge/wasm/sdk/go"
)

type rule struct {
	If struct {
		Tenant    *string           `json:"tenant"`
		MinTokens uint32            `json:"min_tokens"`
		Headers   map[string]string `json:"headers"`
	} `json:"if"`
	Then json.RawMessage `json:"then"`
}

var rules []rule

func init() {
	wedge1.Serve(wedge1.Policy{Caps: wedge1.Headers, Init: configure, Request: request})
}

func configure(config []byte) error {
	var c struct {
		Rules []rule `json:"rules"`
	}
	if err := json.Unmarshal(config, &c); err != nil || c.Rules == nil {
		return wedge1.ErrConfig
	}
	rules = c.Rules
	return nil
}

func request(r *wedge1.Request, a *wedge1.Actions) error {
	for i := range rules {
		if rules[i].fits(r) {
			a.JSON(rules[i].Then)
			break
		}
	}
	return nil
}

func (u *rule) fits(r *wedge1.Request) bool {
	if u.If.Tenant != nil && string(r.Tenant()) != *u.If.Tenant || r.PromptTokens() < u.If.MinTokens {
		return false
	}
	for name, value := range u.If.Headers {
		if got := r.Headers().Get(name); got == nil || string(got) != value {
			return false
		}
	}
	return true
}

func main() {}
