package abi

import (
	"math"
	"strconv"
	"unicode/utf8"
)

// jsonView appends one JSON object. Numbers of 64 bits become decimal strings, because JavaScript's numbers hold 53.
type jsonView struct {
	dst []byte
	sep byte // before the next member: '{' or ','
}

func (v *jsonView) name(name string) {
	v.dst = append(v.dst, v.sep, '"')
	v.dst = append(v.dst, name...)
	v.dst = append(v.dst, '"', ':')
	v.sep = ','
}

func (v *jsonView) u32(name string, n uint32) {
	v.name(name)
	v.dst = strconv.AppendUint(v.dst, uint64(n), 10)
}

// known is a number, or null where it is the unknown.
func (v *jsonView) known(name string, n, unknown uint32) {
	if n != unknown {
		v.u32(name, n)
		return
	}
	v.name(name)
	v.dst = append(v.dst, "null"...)
}

func (v *jsonView) u64(name string, n uint64) {
	v.name(name)
	v.dst = append(v.dst, '"')
	v.dst = strconv.AppendUint(v.dst, n, 10)
	v.dst = append(v.dst, '"')
}

func (v *jsonView) text(name string, b []byte) {
	v.name(name)
	v.dst = appendString(v.dst, b)
}

func (v *jsonView) flags(flags uint32, names ...string) {
	for i, name := range names {
		v.name(name)
		v.dst = strconv.AppendBool(v.dst, flags&(1<<i) != 0)
	}
}

func (v *jsonView) pairs(name string, pairs []Pair) {
	v.name(name)
	v.dst = append(v.dst, '{')
	for i := range pairs {
		if i > 0 {
			v.dst = append(v.dst, ',')
		}
		v.dst = append(appendString(v.dst, pairs[i].Name), ':')
		v.dst = appendString(v.dst, pairs[i].Value)
	}
	v.dst = append(v.dst, '}')
}

func (v *jsonView) targets(targets []Target) {
	v.name("targets")
	v.dst = append(v.dst, '[')
	for i := range targets {
		if i > 0 {
			v.dst = append(v.dst, ',')
		}
		t := &targets[i]
		row := jsonView{v.dst, '{'}
		row.text("name", t.Name)
		row.text("region", t.Region)
		row.flags(t.Flags, "healthy", "breaker")
		row.u32("in_flight", t.InFlight)
		row.known("ttft_us", t.TTFT, 0)
		row.known("us_per_token", t.PerToken, 0)
		row.known("price_in", t.PriceIn, math.MaxUint32)
		row.known("price_out", t.PriceOut, math.MaxUint32)
		v.dst = append(row.dst, '}')
	}
	v.dst = append(v.dst, ']')
}

// AppendJSON appends the JSON view; docs/ABI.md names its members.
func (r *Request) AppendJSON(dst []byte, caps Caps) []byte {
	v := jsonView{dst, '{'}
	v.flags(r.Flags, "stream", "has_tools", "has_images", "json_output", "retry")
	v.u64("id", r.ID)
	v.name("unix_ms")
	v.dst = strconv.AppendInt(v.dst, r.UnixMS, 10)
	v.u64("prefix_hash", r.PrefixHash)
	v.u64("random", r.Random)
	v.u32("prompt_tokens", r.PromptTokens)
	v.known("max_tokens", r.MaxTokens, 0)
	v.u32("messages", r.Messages)
	v.u32("tools", r.Tools)
	v.temperature(r.Temperature)
	v.u32("attempt", r.Attempt)
	v.text("model", r.Model)
	v.text("tenant", r.Tenant)
	v.text("user", r.User)
	v.text("endpoint", r.Endpoint)
	v.text("version", r.Version)
	v.pairs("kv", r.KV)
	if caps&CapSystem != 0 {
		v.text("system", r.System)
	}
	if caps&CapUser != 0 {
		v.text("last_user", r.LastUser)
	}
	if caps&CapHeaders != 0 {
		v.pairs("headers", r.Headers)
	}
	if caps&CapTargets != 0 {
		v.targets(r.Targets)
	}
	if caps&CapBody != 0 {
		v.text("body", r.Body)
	}
	return append(v.dst, '}')
}

func (v *jsonView) temperature(t float32) {
	v.name("temperature")
	if f := float64(t); f != f || math.IsInf(f, 0) {
		v.dst = append(v.dst, "null"...)
		return
	}
	v.dst = strconv.AppendFloat(v.dst, float64(t), 'g', -1, 32)
}

// AppendJSON appends the JSON view; docs/ABI.md names its members.
func (c *Chunk) AppendJSON(dst []byte) []byte {
	v := jsonView{dst, '{'}
	v.flags(c.Flags, "first", "last")
	v.u64("id", c.ID)
	v.u32("seq", c.Seq)
	v.u32("choice", c.Choice)
	v.u32("tokens", c.Tokens)
	v.text("text", c.Text)
	v.text("state", c.State)
	v.text("finish", c.Finish)
	return append(v.dst, '}')
}

// doneFlags name the bits of a response's and of a done view's flags.
var doneFlags = [...]string{"error", "cached", "cancelled", "stream"}

// AppendJSON appends the JSON view; docs/ABI.md names its members.
func (r *Response) AppendJSON(dst []byte) []byte {
	v := jsonView{dst, '{'}
	v.flags(r.Flags, doneFlags[:]...)
	v.u64("id", r.ID)
	v.u32("status", r.Status)
	v.u32("choice", r.Choice)
	v.u32("input_tokens", r.Input)
	v.u32("output_tokens", r.Output)
	v.text("text", r.Text)
	v.text("state", r.State)
	v.text("finish", r.Finish)
	return append(v.dst, '}')
}

// AppendJSON appends the JSON view; docs/ABI.md names its members.
func (d *Done) AppendJSON(dst []byte) []byte {
	v := jsonView{dst, '{'}
	v.flags(d.Flags, doneFlags[:]...)
	v.u64("id", d.ID)
	v.u32("status", d.Status)
	v.u32("ttft_us", d.TTFT)
	v.u32("duration_us", d.Duration)
	v.u32("input_tokens", d.Input)
	v.u32("output_tokens", d.Output)
	v.u32("cached_tokens", d.Cached)
	v.u32("reasoning_tokens", d.Reasoning)
	if d.CostNanoUSD == math.MaxUint64 {
		v.name("cost_nano_usd")
		v.dst = append(v.dst, "null"...)
	} else {
		v.u64("cost_nano_usd", d.CostNanoUSD)
	}
	v.text("model", d.Model)
	v.text("version", d.Version)
	v.text("target", d.Target)
	v.text("state", d.State)
	return append(v.dst, '}')
}

// appendString appends a JSON string. What is not UTF-8 becomes U+FFFD.
func appendString(dst, s []byte) []byte {
	dst = append(dst, '"')
	run := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= 0x20 && c != '"' && c != '\\' {
				i++
				continue
			}
			dst = appendEscape(append(dst, s[run:i]...), c)
			i++
			run = i
			continue
		}
		r, n := utf8.DecodeRune(s[i:])
		if r == utf8.RuneError && n == 1 {
			dst = append(append(dst, s[run:i]...), "\uFFFD"...)
			run = i + 1
		}
		i += n
	}
	return append(append(dst, s[run:]...), '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}
