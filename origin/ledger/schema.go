package ledger

import "github.com/wedge-proxy/wedge/origin/store"

// Schema is the ledger's tables.
//
// ledger_watermarks tell the last report that was counted of each node's incarnation, and ledger_reports are those that
// no sum contains yet. ledger_sums are by hour and all that requests have in common, but not by node: nodes are many. Their
// id stands for all dimensions but the hour: together these are too long for an index. Rows of the same dimensions may have
// different ids. ledger_nodes have the nodes, and less besides. ledger_latency counts the requests of a version by their length.
// In all three, hour is in unix hours; where old hours have been put together to a day, it is the day's first.
// ledger_fold is one row, which whoever changes the sums locks; it says nothing, and so no backup carries it.
func Schema() store.Schema {
	return store.Schema{
		Name:   "ledger",
		Tables: []string{"ledger_watermarks", "ledger_reports", "ledger_sums", "ledger_nodes", "ledger_latency"},
		Steps: []string{`
create table ledger_watermarks (
	node {text} not null,
	incarnation {text} not null,
	seq bigint not null,
	at bigint not null, -- unix seconds of the last report
	primary key (node, incarnation)
);
create table ledger_reports (
	node {text} not null,
	incarnation {text} not null,
	seq bigint not null,
	body {bytes} not null,
	primary key (node, incarnation, seq)
);
create table ledger_sums (
	hour bigint not null,
	model {text} not null,
	version {text} not null,
	experiment {text} not null,
	arm {text} not null,
	key_name {text} not null,
	provider {text} not null,
	target {text} not null,
	cache {text} not null,
	code {text} not null,
	requests bigint not null,
	errors bigint not null,
	hits bigint not null,
	input bigint not null,
	cached_input bigint not null,
	output bigint not null,
	cost bigint not null, -- nano-USD
	unpriced bigint not null,
	micros bigint not null,
	ttft_micros bigint not null,
	ttft_count bigint not null,
	primary key (hour, model, version, experiment, arm, key_name, provider, target, cache, code)
);
create table ledger_nodes (
	hour bigint not null,
	node {text} not null,
	model {text} not null,
	version {text} not null,
	requests bigint not null,
	errors bigint not null,
	hits bigint not null,
	input bigint not null,
	cached_input bigint not null,
	output bigint not null,
	cost bigint not null,
	unpriced bigint not null,
	micros bigint not null,
	ttft_micros bigint not null,
	ttft_count bigint not null,
	primary key (hour, node, model, version)
);
create table ledger_latency (
	hour bigint not null,
	model {text} not null,
	version {text} not null,
	bucket bigint not null, -- see wire.LatencyBucket
	requests bigint not null,
	primary key (hour, model, version, bucket)
);
create table ledger_fold (
	id bigint primary key check (id = 1)
);
insert into ledger_fold (id) values (1);
`, teams},
	}
}

// teams is the step that tells sums apart by team, tags and prices, too, and adds what is told of the money. Where nothing
// was told of list prices, they are what was paid.
const teams = `
alter table ledger_sums rename to ledger_sums_1;
create table ledger_sums (
	hour bigint not null,
	id {text} not null,
	model {text} not null,
	version {text} not null,
	experiment {text} not null,
	arm {text} not null,
	key_name {text} not null,
	provider {text} not null,
	target {text} not null,
	cache {text} not null,
	code {text} not null,
	team {text} not null,
	tags {text} not null,
	prices {text} not null,
	requests bigint not null,
	errors bigint not null,
	hits bigint not null,
	input bigint not null,
	cached_input bigint not null,
	output bigint not null,
	cost bigint not null, -- nano-USD, as all that follows but counts and times
	unpriced bigint not null,
	estimated bigint not null,
	list bigint not null,
	saved bigint not null,
	waste bigint not null,
	micros bigint not null,
	ttft_micros bigint not null,
	ttft_count bigint not null,
	primary key (hour, id)
);
insert into ledger_sums (hour, id, model, version, experiment, arm, key_name, provider, target, cache, code, team, tags, prices,
	requests, errors, hits, input, cached_input, output, cost, unpriced, estimated, list, saved, waste, micros, ttft_micros, ttft_count)
select hour, 'former-' || cast(row_number() over (order by hour) as text), model, version, experiment, arm, key_name, provider,
	target, cache, code, '', '', '',
	requests, errors, hits, input, cached_input, output, cost, unpriced, 0, cost, 0, 0, micros, ttft_micros, ttft_count
from ledger_sums_1;
drop table ledger_sums_1;
alter table ledger_nodes rename to ledger_nodes_1;
create table ledger_nodes (
	hour bigint not null,
	node {text} not null,
	model {text} not null,
	version {text} not null,
	team {text} not null,
	requests bigint not null,
	errors bigint not null,
	hits bigint not null,
	input bigint not null,
	cached_input bigint not null,
	output bigint not null,
	cost bigint not null,
	unpriced bigint not null,
	estimated bigint not null,
	list bigint not null,
	saved bigint not null,
	waste bigint not null,
	micros bigint not null,
	ttft_micros bigint not null,
	ttft_count bigint not null,
	primary key (hour, node, model, version, team)
);
insert into ledger_nodes (hour, node, model, version, team,
	requests, errors, hits, input, cached_input, output, cost, unpriced, estimated, list, saved, waste, micros, ttft_micros, ttft_count)
select hour, node, model, version, '',
	requests, errors, hits, input, cached_input, output, cost, unpriced, 0, cost, 0, 0, micros, ttft_micros, ttft_count
from ledger_nodes_1;
drop table ledger_nodes_1;
`
