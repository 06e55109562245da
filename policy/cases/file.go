package cases

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
)

// number is one of 64 bits, written bare or, as in the JSON view, as a string.
type number uint64

func (n *number) UnmarshalJSON(text []byte) error {
	v, err := strconv.ParseUint(strings.Trim(string(text), `"`), 10, 64)
	if err != nil {
		return fmt.Errorf("want an integer of 64 bits, got %s", text)
	}
	*n = number(v)
	return nil
}

// file is a case as it is written.
type file struct {
	About   string            `json:"about"`
	Config  json.RawMessage   `json:"config"`
	Refused bool              `json:"refused"`
	KV      map[string]string `json:"kv"`
	Steps   []fileStep        `json:"steps"`
	fileStep
}

type fileStep struct {
	Request  *fileRequest    `json:"request"`
	Response *fileResponse   `json:"response"`
	Chunk    *fileChunk      `json:"chunk"`
	Done     *fileDone       `json:"done"`
	Expect   json.RawMessage `json:"expect"`
	Fails    bool            `json:"fails"`
}

type fileRequest struct {
	ID           number            `json:"id"`
	Stream       bool              `json:"stream"`
	HasTools     bool              `json:"has_tools"`
	HasImages    bool              `json:"has_images"`
	JSONOutput   bool              `json:"json_output"`
	Retry        bool              `json:"retry"`
	UnixMS       int64             `json:"unix_ms"`
	PrefixHash   number            `json:"prefix_hash"`
	Random       number            `json:"random"`
	PromptTokens uint32            `json:"prompt_tokens"`
	MaxTokens    uint32            `json:"max_tokens"`
	Messages     uint32            `json:"messages"`
	Tools        uint32            `json:"tools"`
	Temperature  *float32          `json:"temperature"`
	Attempt      uint32            `json:"attempt"`
	Model        string            `json:"model"`
	Tenant       string            `json:"tenant"`
	User         string            `json:"user"`
	Endpoint     string            `json:"endpoint"`
	System       string            `json:"system"`
	LastUser     string            `json:"last_user"`
	Headers      map[string]string `json:"headers"`
	Targets      []fileTarget      `json:"targets"`
	Body         json.RawMessage   `json:"body"`
	Version      string            `json:"version"`
}

type fileTarget struct {
	Name     string  `json:"name"`
	Region   string  `json:"region"`
	Healthy  *bool   `json:"healthy"`
	Breaker  bool    `json:"breaker"`
	InFlight uint32  `json:"in_flight"`
	TTFT     uint32  `json:"ttft_us"`
	PerToken uint32  `json:"us_per_token"`
	PriceIn  *uint32 `json:"price_in"`
	PriceOut *uint32 `json:"price_out"`
}

type fileResponse struct {
	fileEnd
	ID     number  `json:"id"`
	Status uint32  `json:"status"`
	Choice uint32  `json:"choice"`
	Input  uint32  `json:"input_tokens"`
	Output uint32  `json:"output_tokens"`
	Text   string  `json:"text"`
	State  *string `json:"state"`
	Finish string  `json:"finish"`
}

// fileEnd holds the flags of a response and of a done view.
type fileEnd struct {
	Error     bool `json:"error"`
	Cached    bool `json:"cached"`
	Cancelled bool `json:"cancelled"`
	Stream    bool `json:"stream"`
}

type fileChunk struct {
	ID     number  `json:"id"`
	First  bool    `json:"first"`
	Last   bool    `json:"last"`
	Choice uint32  `json:"choice"`
	Tokens uint32  `json:"tokens"`
	Text   string  `json:"text"`
	State  *string `json:"state"`
	Finish string  `json:"finish"`
}

type fileDone struct {
	fileEnd
	ID        number  `json:"id"`
	Status    uint32  `json:"status"`
	TTFT      uint32  `json:"ttft_us"`
	Duration  uint32  `json:"duration_us"`
	Input     uint32  `json:"input_tokens"`
	Output    uint32  `json:"output_tokens"`
	CachedIn  uint32  `json:"cached_tokens"`
	Reasoning uint32  `json:"reasoning_tokens"`
	Cost      *number `json:"cost_nano_usd"`
	Model     string  `json:"model"`
	Version   string  `json:"version"`
	Target    string  `json:"target"`
	State     *string `json:"state"`
}

func (f *fileStep) step(kv map[string]string) (Step, error) {
	s := Step{Fails: f.Fails}
	calls := 0
	if f.Request != nil {
		s.Kind, s.Request = policy.OnRequest, f.Request.view(kv)
		calls++
	}
	if f.Response != nil {
		s.Kind, s.Response = policy.OnResponse, f.Response.view()
		calls++
	}
	if f.Chunk != nil {
		s.Kind, s.Chunk = policy.OnChunk, f.Chunk.view()
		calls++
	}
	if f.Done != nil {
		s.Kind, s.Done = policy.OnDone, f.Done.view()
		calls++
	}
	if calls != 1 {
		return s, fmt.Errorf("want exactly one of \"request\", \"response\", \"chunk\" and \"done\", got %d", calls)
	}
	if f.Fails == (len(f.Expect) > 0) {
		return s, fmt.Errorf("want either \"expect\", an object of actions, or \"fails\": true")
	}
	if f.Fails {
		return s, nil
	}
	var err error
	if s.Want, err = abi.AppendFromJSON(nil, f.Expect); err != nil {
		return s, fmt.Errorf("expect: %w", err)
	}
	return s, nil
}

func (f *fileRequest) view(kv map[string]string) abi.Request {
	r := abi.Request{
		Flags: bit(f.Stream, abi.FlagStream) | bit(f.HasTools || f.Tools > 0, abi.FlagTools) | bit(f.HasImages, abi.FlagImages) |
			bit(f.JSONOutput, abi.FlagJSONOutput) | bit(f.Retry, abi.FlagRetry),
		ID: uint64(f.ID), UnixMS: f.UnixMS, PrefixHash: uint64(f.PrefixHash), Random: uint64(f.Random), PromptTokens: f.PromptTokens,
		MaxTokens: f.MaxTokens, Messages: f.Messages, Tools: f.Tools, Temperature: float32(math.NaN()), Attempt: f.Attempt,
		Model: []byte(f.Model), Tenant: []byte(f.Tenant), User: []byte(f.User), Endpoint: []byte(f.Endpoint),
		System: []byte(f.System), LastUser: []byte(f.LastUser), Headers: pairs(f.Headers), Body: body(f.Body), KV: pairs(kv),
		Version: []byte(f.Version),
	}
	if f.Temperature != nil {
		r.Temperature = *f.Temperature
	}
	for i := range f.Targets {
		r.Targets = append(r.Targets, f.Targets[i].row())
	}
	return r
}

func (f *fileTarget) row() abi.Target {
	return abi.Target{
		Name: []byte(f.Name), Region: []byte(f.Region),
		Flags:    bit(f.Healthy == nil || *f.Healthy, abi.TargetHealthy) | bit(f.Breaker, abi.TargetBreaker),
		InFlight: f.InFlight, TTFT: f.TTFT, PerToken: f.PerToken,
		PriceIn: known(f.PriceIn, math.MaxUint32), PriceOut: known(f.PriceOut, math.MaxUint32),
	}
}

func (f *fileResponse) view() abi.Response {
	return abi.Response{
		Flags: f.flags(), ID: uint64(f.ID), Status: f.Status, Choice: f.Choice, Input: f.Input,
		Output: f.Output, Text: []byte(f.Text), State: state(f.State), Finish: []byte(f.Finish),
	}
}

func (f *fileChunk) view() abi.Chunk {
	return abi.Chunk{
		Flags: bit(f.First, abi.ChunkFirst) | bit(f.Last, abi.ChunkLast), ID: uint64(f.ID), Choice: f.Choice, Tokens: f.Tokens,
		Text: []byte(f.Text), State: state(f.State), Finish: []byte(f.Finish),
	}
}

func (f *fileDone) view() abi.Done {
	return abi.Done{
		Flags: f.flags(), ID: uint64(f.ID), Status: f.Status, TTFT: f.TTFT, Duration: f.Duration, Input: f.Input, Output: f.Output,
		Cached: f.CachedIn, Reasoning: f.Reasoning, CostNanoUSD: uint64(known(f.Cost, math.MaxUint64)), Model: []byte(f.Model),
		Version: []byte(f.Version), Target: []byte(f.Target), State: state(f.State),
	}
}

func (f *fileEnd) flags() uint32 {
	return bit(f.Error, abi.DoneError) | bit(f.Cached, abi.DoneCached) | bit(f.Cancelled, abi.DoneCancelled) |
		bit(f.Stream, abi.DoneStream)
}

// body takes a string that holds the body, or any other value as it is written.
func body(written json.RawMessage) []byte {
	var held string
	if json.Unmarshal(written, &held) == nil {
		return []byte(held)
	}
	return written
}

func bit(set bool, flag uint32) uint32 {
	if set {
		return flag
	}
	return 0
}

func known[N any](n *N, unknown N) N {
	if n == nil {
		return unknown
	}
	return *n
}

// state is nil where the file leaves it out: then the run fills in what the call before left.
func state(s *string) []byte {
	if s == nil {
		return nil
	}
	return []byte(*s)
}

// pairs come in the order of their names, so that a case always gives the same view.
func pairs(m map[string]string) []abi.Pair {
	var list []abi.Pair
	for _, name := range slices.Sorted(maps.Keys(m)) {
		list = append(list, abi.Pair{Name: []byte(name), Value: []byte(m[name])})
	}
	return list
}
