package spend

import "github.com/wedge-proxy/wedge/origin/store"

// Schema is the tables of the origin's money.
//
// spend_budgets has a row for each budget that somebody leases of: whoever lends of a budget locks it. spend_pots tell where
// each purse stands in each period; all of their amounts are nano-USD and only grow, but for held and rate.
// spend_demands are what nodes want of rate limits. spend_alerts are what happened, each once: what makes it one is in
// subject. spend_deliveries are the webhooks that are to hear of it.
func Schema() store.Schema {
	return store.Schema{
		Name:   "spend",
		Tables: []string{"spend_budgets", "spend_pots", "spend_alerts", "spend_deliveries"},
		Steps: []string{`
create table spend_budgets (
	budget {text} primary key,
	refused bigint not null -- the last period in which nodes were refused money, -1 for none
);
create table spend_pots (
	budget {text} not null,
	period bigint not null, -- unix seconds of its start, 0 for all time
	purse {text} not null,
	node {text} not null, -- that told of it last
	granted bigint not null,
	returned bigint not null,
	spent bigint not null,
	unverified bigint not null,
	written_off bigint not null, -- of what was granted, and will not be heard of
	grace bigint not null,
	held bigint not null,
	rate bigint not null, -- nano-USD in a minute, lately
	at bigint not null, -- unix milliseconds
	primary key (budget, period, purse)
);
create index spend_pots_node on spend_pots (node);
create table spend_demands (
	rate {text} not null,
	node {text} not null,
	demand double precision not null, -- of the whole limit, a second
	at bigint not null, -- unix milliseconds
	primary key (rate, node)
);
create table spend_alerts (
	id bigint primary key,
	at bigint not null, -- unix milliseconds
	kind {text} not null,
	budget {text} not null,
	period bigint not null,
	subject {text} not null,
	body {bytes} not null
);
create unique index spend_alerts_once on spend_alerts (kind, budget, period, subject);
create table spend_deliveries (
	alert bigint not null,
	webhook {text} not null,
	state {text} not null, -- waiting | delivered | given_up
	tries bigint not null,
	next bigint not null, -- unix milliseconds
	status bigint not null, -- of the last answer, 0 for none
	error {text} not null,
	primary key (alert, webhook)
);
`},
	}
}
