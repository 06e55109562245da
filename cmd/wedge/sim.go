package main

import (
	"context"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"github.com/wedge-proxy/wedge/bench/sim"
)

// simGrace is how long answers under way may take to end once the process is asked to.
const simGrace = 5 * time.Second

// simCmd runs the simulated provider.
type simCmd struct {
	Listen          string        `default:"127.0.0.1:9090" placeholder:"ADDR" help:"Address to listen on (default ${default}); port 0 picks a free one."`
	Latency         time.Duration `default:"0s" help:"Time that a whole answer takes."`
	TTFT            time.Duration `name:"ttft" default:"0s" help:"Time to the first token of a streamed answer."`
	TokensPerSecond float64       `default:"0" placeholder:"N" help:"Pace of answers; 0 sends all at once."`
	FailRate        float64       `default:"0" placeholder:"0..1" help:"Share of POST requests that fail."`
	Fail            string        `default:"500" placeholder:"KIND" help:"How they fail (default ${default}): refused, 429, quota, 500, 502, 503, overloaded, 401, slow, cut, cut-clean, stall, malformed, error200, error-mid, empty or garbage."`
	Seed            uint64        `default:"0" placeholder:"N" help:"Another seed gives other answers; the same one the same."`
	APIKey          string        `name:"api-key" placeholder:"KEY" help:"Refuse requests that do not show this key."`
	LogSize         int           `default:"1000" placeholder:"N" help:"Requests kept for GET /sim/requests (default ${default}); 0 keeps none and is fastest."`
}

// Help is the part of the help text below the flags' summary.
func (simCmd) Help() string {
	return `A provider that speaks the APIs of OpenAI, Anthropic and Gemini, for trying out and testing what stands in
front of it. Equal requests get equal answers, and the same conversation the same words in every API. Every failure
comes in the form of the API that was asked: overloaded is 529 from Anthropic's and 503 from the others.

One request can choose for itself, in its headers or behind its model's name:
  x-sim-ttft: 50ms, x-sim-tps: 50, x-sim-chunks: 64, x-sim-tokens: 100, x-sim-fail: cut, x-sim-fail-after: 3
  {"model": "any-name;ttft=50ms;tps=20;chunks=64;fail=429"}
  POST /v1beta/models/any-name;ttft=50ms:generateContent

WebSockets: OpenAI's Responses (GET /v1/responses) and Realtime (GET /v1/realtime), and Gemini's Live
(GET /ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent, whose failures close the connection).
What is louder than silence is taken for speech, and silence after it ends a turn where turn detection is on; what is
said follows from the sound's bytes. Sound costs tokens by its length: one for each 100 ms heard, two for each spoken.
Each turn there is paced, fails and is logged like one POST, with WS for its method. The handshake's headers are for all
turns; faults that need no answer to strike, from refused to slow, strike the handshake instead. In scripts
{"fail":"503","path":"/v1/responses"} refuses a handshake, {"fail":"503","method":"WS"} answers a turn with that error,
cut leaves without a close frame, cut-clean closes with close_code, and life=10s ends the connection after that time:
  curl localhost:9090/sim/script -d '[{"fail":"cut-clean","method":"WS","set":"fail_after=3;close_code=1011"}]'

Examples:
  wedge sim
  wedge sim --listen 127.0.0.1:0 --ttft 200ms --tokens-per-second 50
  wedge sim --fail-rate 0.1 --fail 503 --seed 7
  curl localhost:9090/v1/chat/completions -d '{"model":"m","messages":[{"role":"user","content":"Hello"}]}'
  curl localhost:9090/sim/script -d '[{"fail":"500","count":2},{"fail":"cut"}]'
  curl localhost:9090/sim/requests
  curl localhost:9090/v1/messages -H 'anthropic-version: 2023-06-01' \
    -d '{"model":"m","max_tokens":500,"messages":[{"role":"user","content":"Hello"}]}'
  curl localhost:9090/v1beta/models/m:generateContent -d '{"contents":[{"parts":[{"text":"Hello"}]}]}'`
}

// Run serves until SIGTERM or SIGINT.
func (c *simCmd) Run() error {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	srv, err := sim.New(sim.Options{
		Listen: c.Listen, Latency: c.Latency, TTFT: c.TTFT, TokensPerSecond: c.TokensPerSecond, FailRate: c.FailRate,
		Fail: c.Fail, Seed: c.Seed, APIKey: c.APIKey, LogSize: c.LogSize,
	})
	if err != nil {
		return err
	}
	ln, err := srv.Listen()
	if err != nil {
		return fmt.Errorf("%w; choose another address with --listen", err)
	}
	fmt.Printf("simulated provider on http://%s/v1\n", reachable(ln.Addr()))
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	grace, stop := context.WithTimeout(context.Background(), simGrace)
	defer stop()
	if err := srv.Shutdown(grace); err != nil {
		return err
	}
	return <-served
}
