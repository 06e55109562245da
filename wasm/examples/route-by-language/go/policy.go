//go:build wasip1

// A policy that sends a request to the target that its config names for the client's first language:
// {"fr": "eu", "*": "us"}.
package main

import wedge1 "github.com/wedge-proxy/wedge/wasm/sdk/go"

type rule struct{ language, target []byte }

var (
	rules     []rule
	otherwise []byte
)

func init() {
	wedge1.Serve(wedge1.Policy{Caps: wedge1.Headers, Init: configure, Request: route})
}

func configure(config []byte) error {
	wedge1.Members(config, func(language, target []byte) bool {
		if string(language) == "*" {
			otherwise = target
		} else {
			rules = append(rules, rule{language, target})
		}
		return true
	})
	return nil
}

func route(r *wedge1.Request, a *wedge1.Actions) error {
	language, target := firstLanguage(r.Headers().Get("accept-language")), otherwise
	for i := range rules {
		if wedge1.EqualFold(rules[i].language, language) {
			target = rules[i].target
			break
		}
	}
	if len(target) > 0 {
		a.TargetBytes(target)
	}
	return nil
}

// firstLanguage is fr of "fr-CH, en;q=0.8": a language ends where its letters end.
func firstLanguage(header []byte) []byte {
	n := 0
	for n < len(header) && header[n]|0x20 >= 'a' && header[n]|0x20 <= 'z' {
		n++
	}
	return header[:n]
}

func main() {}
