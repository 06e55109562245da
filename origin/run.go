package origin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wedge-proxy/wedge/origin/store"
)

// Run answers nodes and people and does the origin's jobs until ctx is done. Then streams end, what else is under way is
// finished, and Run returns nil. It can be called once.
func (o *Origin) Run(ctx context.Context) error {
	streams, endStreams := context.WithCancel(context.Background())
	defer endStreams()
	jobs, endJobs := context.WithCancel(context.Background())
	defer endJobs()
	server := o.server(streams)
	group, failed := errgroup.WithContext(ctx)
	for _, job := range []func(context.Context) error{
		o.fleet.Run, o.control.Run, o.spend.Run, o.maintain,
		func(ctx context.Context) error { return o.ledger.Run(ctx, o.options.Log) },
	} {
		group.Go(func() error { return unlessEnded(jobs, job(jobs)) })
	}
	group.Go(func() error { return o.serve(server) })
	o.options.Log.Info("the origin is ready", "url", o.URL())
	<-failed.Done()
	o.api.Close()
	endStreams()
	o.finish(server)
	endJobs()
	return group.Wait()
}

// unlessEnded is why a job stopped, nil where that is the end of its context.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (o *Origin) serve(server *http.Server) (err error) {
	if o.tls == nil {
		err = server.Serve(o.listener)
	} else {
		err = server.ServeTLS(o.listener, "", "") // TLSConfig has the certificate
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("cannot go on answering: %w", err)
}

// finish waits for requests that are under way, and breaks off those that take too long.
func (o *Origin) finish(server *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), o.options.drain)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		o.options.Log.Warn("broke off requests that took too long", "error", err)
		_ = server.Close() // the listener's error is of no use any more
	}
}

const (
	headerTime = 10 * time.Second
	idleTime   = 2 * time.Minute
	pingAfter  = 30 * time.Second // of silence, on HTTP/2
	pingTime   = 15 * time.Second
	maxHeader  = 64 << 10 // bytes
)

func (o *Origin) server(streams context.Context) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(o.tls != nil)
	protocols.SetUnencryptedHTTP2(o.tls == nil)
	return &http.Server{
		Handler: o.handler(streams), TLSConfig: o.tls, Protocols: protocols,
		ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		HTTP2:    &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTime},
		ErrorLog: slog.NewLogLogger(o.options.Log.Handler(), slog.LevelDebug),
	}
}

// What history and blobs are kept, and how often that is looked at.
const (
	maintainEvery = time.Hour
	retryEvery    = time.Minute
	keepHistory   = 30 * 24 * time.Hour
	keepRevisions = 100_000
	keepUnused    = 24 * time.Hour // blobs that nothing names
)

// maintain forgets old history and blobs that nothing needs, while this process has the lead of it.
func (o *Origin) maintain(ctx context.Context) error {
	for ctx.Err() == nil {
		lead, ok, err := o.store.TryLead(ctx, "maintenance")
		switch {
		case err != nil && ctx.Err() == nil:
			o.options.Log.Warn("cannot take the lead of maintenance", "error", err)
		case ok:
			o.keepTidy(ctx, lead.Context())
			lead.Release()
		}
		sleep(ctx, retryEvery)
	}
	return nil
}

// keepTidy tidies up every hour until it has to stop or has lost the lead.
func (o *Origin) keepTidy(ctx, held context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(held, cancel)()
	for ctx.Err() == nil {
		if err := tidy(ctx, o.store, time.Now(), o.options.Log); err != nil && ctx.Err() == nil {
			o.options.Log.Error("cannot tidy up the database", "error", err)
		}
		sleep(ctx, maintainEvery)
	}
}

func tidy(ctx context.Context, s *store.Store, now time.Time, log *slog.Logger) error {
	head, err := s.Head(ctx)
	if err != nil {
		return err
	}
	kept, err := s.Compact(ctx, store.Cut{Before: now.Add(-keepHistory)})
	if err == nil && head.Rev-keepRevisions > kept {
		kept, err = s.Compact(ctx, store.Cut{Rev: head.Rev - keepRevisions})
	}
	if err != nil {
		return err
	}
	blobs, size, err := s.CollectBlobs(ctx, keepUnused)
	if err == nil {
		log.Debug("tidied up", "history_from", kept+1, "blobs", blobs, "bytes", size)
	}
	return err
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
