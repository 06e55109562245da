// Command floor is the least that a fasthttp server can do: a bare pass-through, a bare map, a bare fixed
// answer, a bare stream relay. It checks no key, chooses nothing and counts nothing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("floor", flag.ContinueOnError)
	mode := f.String("mode", "proxy", "proxy: pass-through; map: answers by the body's xxhash, misses passed through; "+
		"static: fixed answers, streams as one burst; stream: pass-through that relays what has come in one write")
	listen := f.String("listen", "127.0.0.1:9191", "address to listen on")
	upstream := f.String("upstream", "127.0.0.1:9090", "address of the provider")
	events := f.Int("events", 64, "events of a stream from -mode static")
	if err := f.Parse(args); err != nil {
		return err
	}
	handler, err := handlerFor(*mode, *upstream, *events)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", *listen, err)
	}
	fmt.Printf("floor %s on %s\n", *mode, ln.Addr())
	srv := &fasthttp.Server{Handler: handler, NoDefaultServerHeader: true, CloseOnShutdown: true}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	select {
	case err := <-done:
		return fmt.Errorf("cannot serve on %s: %w", *listen, err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := srv.ShutdownWithContext(end); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("cannot end the server on %s: %w", *listen, err)
	}
	return nil
}

func handlerFor(mode, upstream string, events int) (fasthttp.RequestHandler, error) {
	hc := &fasthttp.HostClient{Addr: upstream, MaxConns: 20_000, NoDefaultUserAgentHeader: true}
	switch mode {
	case "proxy":
		return proxyTo(hc), nil
	case "stream":
		hc.Transport = relay{}
		hc.StreamResponseBody = true
		return proxyTo(hc), nil
	case "map":
		return remember(hc), nil
	case "static":
		return fixed(events), nil
	}
	return nil, fmt.Errorf("cannot serve mode %q: choose proxy, map, static or stream", mode)
}
