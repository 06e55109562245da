package origin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/wedge-proxy/wedge/internal/obs"
	"github.com/wedge-proxy/wedge/origin/fleet"
	"github.com/wedge-proxy/wedge/origin/ledger"
	"github.com/wedge-proxy/wedge/origin/spend"
	"github.com/wedge-proxy/wedge/wire"
)

// newFleet makes the fleet, whose nodes may come without TLS where the origin listens on this machine only.
func (o *Origin) newFleet(metrics *obs.Registry) (*fleet.Fleet, error) {
	return fleet.New(fleet.Options{
		Store: o.store, Vault: o.vault, Book: o.book, Lease: o.lease, Log: o.options.Log, NoWaves: o.options.NoWaves, Metrics: metrics,
		Plain: func(r *http.Request) bool { return r.TLS == nil && o.tls == nil },
	})
}

// book tells the fleet what the ledger says of a report.
func (o *Origin) book(ctx context.Context, node string, r *wire.Report) (wire.ReportReply, error) {
	reply, err := o.ledger.Book(ctx, node, r)
	switch {
	case errors.Is(err, ledger.ErrGap):
		err = fmt.Errorf("%w: %w", fleet.ErrGap, err)
	case errors.Is(err, ledger.ErrReport):
		err = fmt.Errorf("%w: %w", fleet.ErrReport, err)
	}
	return reply, err
}

// flawed lets the operator know of a report that could not be counted as it is.
func (o *Origin) flawed(ctx context.Context, node string, r *wire.Report, rows int) {
	o.spend.Flawed(ctx, node, fmt.Sprintf("%d of %d rows of its report %d, incarnation %s, have a number, a name or a time that no request has; what can be was counted",
		rows, len(r.Usage), r.Seq, r.Incarnation))
}

// lease tells the fleet what may be lent to a node.
func (o *Origin) lease(ctx context.Context, node string, r *wire.LeaseRequest) (*wire.LeaseReply, error) {
	reply, err := o.spend.Lease(ctx, node, r)
	if errors.Is(err, spend.ErrRequest) {
		err = fmt.Errorf("%w: %w", fleet.ErrReport, err)
	}
	return reply, err
}

// takers names the nodes that take what is new now, and requests with it.
func (o *Origin) takers(ctx context.Context) (names []string, err error) {
	const page = 1000
	for after := ""; ; {
		nodes, err := o.fleet.Nodes(ctx, after, page)
		if err != nil {
			return nil, err
		}
		for i := range nodes {
			if n := &nodes[i]; n.State == fleet.StateOnline && !n.Pinned && !n.Drained {
				names = append(names, n.Name)
			}
		}
		if len(nodes) < page {
			return names, nil
		}
		after = nodes[page-1].Name
	}
}

// spenders are the keys and models that have cost something lately.
func (o *Origin) spenders(ctx context.Context) (keys, models []string, err error) {
	q := ledger.Query{Since: time.Now().Add(-24 * time.Hour), By: []string{"key", "model"}}
	rows, err := o.ledger.Usage(ctx, q)
	for i := range rows {
		if r := &rows[i]; r.CostNano > 0 {
			keys, models = append(keys, r.Key), append(models, r.Model)
		}
	}
	slices.Sort(keys)
	slices.Sort(models)
	return slices.Compact(keys), slices.Compact(models), err
}
