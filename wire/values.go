package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // a catalog must mean the same on a host without a time zone database

	"go.yaml.in/yaml/v3"
)

// keyID reads the public part of a virtual key. A whole key may stand there by mistake, so it is not echoed.
func keyID(dst *string) reader {
	return func(v value) {
		if v.node.Kind != yaml.ScalarNode || !validKeyID([]byte(v.node.Value)) {
			v.failf("want the public part of a key: wk_ and 12 lower-case letters or digits")
			return
		}
		*dst = v.node.Value
	}
}

// keyHash reads sha256:HEX. The key itself may stand there by mistake, so it is not echoed.
func keyHash(dst *[32]byte) reader {
	return func(v value) {
		digits, ok := strings.CutPrefix(v.node.Value, "sha256:")
		sum, err := hex.DecodeString(digits)
		if v.node.Kind != yaml.ScalarNode || !ok || err != nil || len(sum) != len(dst) {
			v.failf("want sha256: and 64 hexadecimal digits, the SHA-256 of the whole key")
			return
		}
		copy(dst[:], sum)
	}
}

var moduleText = regexp.MustCompile(`^(file:.+|sha256:[0-9a-f]{64})$`)

// module reads where a policy's Wasm or its cases lie.
func module(dst *string, what string) reader {
	return func(v value) {
		text(dst)(v)
		if *dst != "" && !moduleText.MatchString(*dst) {
			v.failf("%s does not name %s; want file:PATH or sha256: and 64 hexadecimal digits", show(*dst), what)
		}
	}
}

var (
	headerText = regexp.MustCompile("^[a-z0-9!#$%&'*+.^_`|~-]{1,128}$")
	hidden     = []string{"authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "set-cookie"}
)

// header is one request header that a policy asks to see, in lower case.
func header(v value) string {
	s, ok := v.str()
	s = strings.ToLower(s)
	switch {
	case !ok:
	case !headerText.MatchString(s):
		v.failf("%s is not the name of a header", show(s))
	case slices.Contains(hidden, s):
		v.failf("a policy cannot see %s: it holds credentials", s)
	}
	return s
}

// ownHeaders are those that the node itself sends, or that say how a message ends.
var ownHeaders = []string{"host", "connection", "content-length", "content-type", "content-encoding", "transfer-encoding",
	"accept-encoding", "te", "trailer", "upgrade", "keep-alive", "expect", "authorization", "x-api-key", "x-goog-api-key", "api-key"}

// headers reads headers by name, sorted by it.
func headers(dst *[]Header) reader {
	return func(v value) {
		if v.node.Kind != yaml.MappingNode {
			v.failf("want a mapping of headers, found %s", describe(v.node))
			return
		}
		for _, e := range v.entries() {
			item, h := v.at(e.value, join(v.path, e.name)), Header{Name: strings.ToLower(e.name)}
			text(&h.Value)(item)
			switch {
			case !headerText.MatchString(h.Name):
				item.failf("%s is not the name of a header", show(e.name))
			case slices.Contains(ownHeaders, h.Name):
				item.failf("%s is the node's own to send; use api_key and auth for credentials", h.Name)
			case slices.ContainsFunc(*dst, func(other Header) bool { return other.Name == h.Name }):
				item.failf("%s stands there twice", h.Name)
			}
			*dst = append(*dst, h)
		}
		slices.SortFunc(*dst, func(a, b Header) int { return strings.Compare(a.Name, b.Name) })
	}
}

var azureVersionText = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?$|^preview$|^latest$`)

// azureVersion reads the version of Azure's API, which only OpenAI's dialect is offered with.
func azureVersion(p *Provider) reader {
	return func(v value) {
		s, ok := v.str()
		switch {
		case !ok:
		case !azureVersionText.MatchString(s):
			v.failf("%s is not a version of Azure's API; want one such as 2024-10-21", show(s))
		case p.Dialect != "openai":
			v.failf("only providers of the dialect openai have deployments of Azure's")
		}
		p.AzureVersion = s
	}
}

// zone reads an IANA time zone.
func zone(dst *string) reader {
	return func(v value) {
		s, ok := v.str()
		if !ok {
			return
		}
		if _, err := time.LoadLocation(s); err != nil || s == "" || s == "Local" {
			v.failf("%s is not a time zone; want a name such as UTC or Europe/Berlin", show(s))
		}
		*dst = s
	}
}

var rollingText = regexp.MustCompile(`^rolling-([1-9][0-9]{0,2})h$`)

// maxRolling is the longest rolling period, in hours.
const maxRolling = 720

// period reads how long a budget lasts.
func period(dst *string) reader {
	return func(v value) {
		if m := rollingText.FindStringSubmatch(v.node.Value); v.node.Kind == yaml.ScalarNode && m != nil {
			if n, _ := strconv.Atoi(m[1]); n <= maxRolling {
				*dst = v.node.Value
				return
			}
		}
		oneOf(dst, spans...)(v)
	}
}

// date reads a day, or a moment as RFC 3339 writes one.
func date(dst *time.Time) reader {
	return func(v value) {
		s, ok := v.str()
		if !ok {
			return
		}
		for _, layout := range [...]string{time.DateOnly, time.RFC3339} {
			if t, err := time.Parse(layout, s); err == nil {
				*dst = t.UTC()
				return
			}
		}
		v.failf("%s is not a date such as 2026-11-01 or 2026-11-01T12:00:00Z", show(s))
	}
}

// hookURL reads where deliveries go: over TLS, or to this machine. Many such URLs are secrets, so it is not echoed.
func hookURL(dst *string) reader {
	return func(v value) {
		s, ok := v.str()
		if !ok {
			return
		}
		*dst = s
		u, err := url.Parse(s)
		switch {
		case err != nil || len(s) > 1024 || u.Scheme != "https" && u.Scheme != "http" || !validHost(u):
			v.failf("want a URL such as https://hooks.example.com/wedge")
		case u.User != nil:
			v.failf("the URL must not hold credentials; sign deliveries with a secret")
		case u.Fragment != "":
			v.failf("the URL must not have a #")
		case u.Scheme == "http" && u.Hostname() != "localhost" && !net.ParseIP(u.Hostname()).IsLoopback():
			v.failf("http is not encrypted; use https, or a loopback address")
		}
	}
}

// urlPath reads an absolute path below a provider's base URL.
func urlPath(dst *string) reader {
	return func(v value) {
		text(dst)(v)
		if *dst != "" && !strings.HasPrefix(*dst, "/") {
			v.failf("%s does not begin with /", show(*dst))
		}
	}
}

// downgrade is how an OnExhausted begins that names a model.
const downgrade = "downgrade: "

// onExhausted reads deny, cache_only, or downgrade with a model: as a mapping or as one string.
func onExhausted(dst *string) reader {
	return func(v value) {
		if v.node.Kind == yaml.MappingNode {
			var model string
			v.record(need("downgrade", text(&model)))
			*dst = downgrade + model
			return
		}
		s, ok := v.str()
		if model, is := strings.CutPrefix(s, "downgrade:"); is && strings.TrimSpace(model) != "" {
			*dst = downgrade + strings.TrimSpace(model)
			return
		}
		if ok {
			oneOf(dst, "deny", "downgrade: MODEL", "cache_only")(v)
		}
	}
}

// decided are the body members that the node itself sets for every attempt.
var decided = []string{"model", "stream"}

// params reads top-level members of a request body, sorted by name.
func params(dst *[]Param) reader {
	return func(v value) {
		if v.node.Kind != yaml.MappingNode {
			v.failf("want a mapping of request parameters, found %s", describe(v.node))
			return
		}
		for _, e := range v.entries() {
			item := v.at(e.value, join(v.path, e.name))
			if slices.Contains(decided, e.name) {
				item.failf("%s cannot be set here: the target and the client decide it", e.name)
			}
			*dst = append(*dst, Param{Key: e.name, Value: item.appendJSON(nil, 0)})
		}
		slices.SortFunc(*dst, func(a, b Param) int { return strings.Compare(a.Key, b.Key) })
	}
}

// object reads a free-form mapping as compact JSON.
func object(dst *[]byte) reader {
	return func(v value) {
		if v.node.Kind != yaml.MappingNode {
			v.failf("want a mapping, found %s", describe(v.node))
			return
		}
		*dst = v.appendJSON(nil, 0)
	}
}

// appendJSON appends any value as compact JSON: the members of mappings in their order, numbers as they are written.
func (v value) appendJSON(dst []byte, depth int) []byte {
	if depth > maxDepth {
		v.failf("nested deeper than %d", maxDepth)
		return append(dst, "null"...)
	}
	switch v.node.Kind {
	case yaml.MappingNode:
		return v.appendObject(dst, depth)
	case yaml.SequenceNode:
		dst = append(dst, '[')
		for i, node := range v.node.Content {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = v.at(node, v.path).appendJSON(dst, depth+1)
		}
		return append(dst, ']')
	}
	return v.appendScalar(dst)
}

func (v value) appendObject(dst []byte, depth int) []byte {
	dst = append(dst, '{')
	for i, e := range v.entries() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendQuoted(dst, e.name), ':')
		dst = v.at(e.value, join(v.path, e.name)).appendJSON(dst, depth+1)
	}
	return append(dst, '}')
}

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

func (v value) appendScalar(dst []byte) []byte {
	if v.node.Style == 0 && jsonNumber.MatchString(v.node.Value) {
		return append(dst, v.node.Value...)
	}
	switch v.node.ShortTag() {
	case "!!null":
		return append(dst, "null"...)
	case "!!bool":
		return append(dst, strings.ToLower(v.node.Value)...)
	case "!!str", "!!timestamp":
		return appendQuoted(dst, v.node.Value)
	case "!!int", "!!float":
		v.failf("want a number as JSON writes it, found %s", show(v.node.Value))
	default:
		v.failf("want what JSON can hold, found %s", describe(v.node))
	}
	return append(dst, "null"...)
}

// appendQuoted appends s as a JSON string in which only what must be escaped is.
func appendQuoted(dst []byte, s string) []byte {
	out := bytes.NewBuffer(dst)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		panic("BUG: a string has no JSON: " + err.Error())
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}
