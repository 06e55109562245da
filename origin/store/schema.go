package store

import (
	"context"
	"crypto/sha256"
	"fmt"
)

// Schema is the tables of one part of the origin.
type Schema struct {
	// Name tells the part from others: it is kept with the number of steps that have been taken.
	Name string
	// Steps bring the tables from one version to the next. A step that has been released never changes. In its words,
	// {text} is the type of a column of text, which is ordered by its bytes, and {bytes} that of one of bytes; whole
	// numbers are bigint, others are double precision.
	Steps []string
	// Tables are those that a backup carries.
	Tables []string
}

// ownSchema is the store's own.
//
// head is one row, which every change locks: so changes happen one after the other. changes tell who made a revision,
// and history what it put where (a body that is null deletes). resources are what there is at the head.
var ownSchema = Schema{
	Name:   "store",
	Tables: []string{"head", "changes", "history", "resources", "requests", "blobs", "blob_chunks", "blob_refs"},
	Steps: []string{`
create table head (
	id bigint primary key check (id = 1),
	epoch bigint not null,
	rev bigint not null,
	at bigint not null,
	chain {bytes} not null,
	kept bigint not null,       -- history has every revision above this one
	base bigint not null,       -- changes has every revision above this one: base <= kept
	base_chain {bytes} not null -- the chain at base
);
create table changes (
	rev bigint primary key,
	at bigint not null,
	actor {text} not null,
	reason {text} not null,
	size bigint not null, -- of the bodies in history
	payload {bytes} not null,
	chain {bytes} not null
);
create index changes_at on changes (at);
create table history (
	rev bigint not null,
	seq bigint not null,
	kind {text} not null,
	name {text} not null,
	body {bytes},
	primary key (rev, seq)
);
create index history_of on history (kind, name, rev);
create table resources (
	kind {text} not null,
	name {text} not null,
	rev bigint not null,
	created bigint not null,
	updated bigint not null,
	body {bytes} not null,
	primary key (kind, name)
);
create index resources_rev on resources (rev);
create table requests (
	token {text} primary key,
	digest {bytes} not null,
	epoch bigint not null,
	rev bigint not null,
	at bigint not null,
	chain {bytes} not null
);
create index requests_at on requests (at);
create table blobs (
	digest {text} primary key,
	upload {text} not null,
	size bigint not null,
	touched bigint not null
);
create index blobs_upload on blobs (upload);
create table blob_chunks (
	upload {text} not null,
	n bigint not null,
	at bigint not null,
	body {bytes} not null,
	primary key (upload, n)
);
create table blob_refs (
	digest {text} not null,
	rev bigint not null,
	kind {text} not null,
	name {text} not null,
	primary key (digest, rev, kind, name)
);
create index blob_refs_rev on blob_refs (rev);
create table leads (
	name {text} primary key,
	holder {text} not null,
	until bigint not null
);
`},
}

// migrate brings the tables of every schema to their last version, and makes the first epoch of an empty store.
func (s *Store) migrate(ctx context.Context) error {
	targets := map[string]int{}
	for _, schema := range s.schemas {
		targets[schema.Name] = len(schema.Steps)
	}
	err := s.Update(ctx, func(t *Tx) error {
		if err := t.migrate(targets); err != nil {
			return err
		}
		epoch := s.now()
		return t.run(`insert into head (id, epoch, rev, at, chain, kept, base, base_chain) values (1, ?, 0, ?, ?, 0, 0, ?)
			on conflict do nothing`, epoch.UnixMilli(), epoch.UnixMicro(), make([]byte, sha256.Size), make([]byte, sha256.Size))
	})
	if err != nil {
		return fmt.Errorf("cannot bring the store's tables up to date: %w", err)
	}
	return nil
}

// migrate takes the steps that each schema lacks to the version that is asked for.
func (t *Tx) migrate(targets map[string]int) error {
	if err := t.store.lockSchema(t.ctx, t.tx); err != nil {
		return err
	}
	if err := t.run("create table if not exists schema_versions (name {text} primary key, version bigint not null, at bigint not null)"); err != nil {
		return err
	}
	versions, err := t.versions()
	if err != nil {
		return err
	}
	for _, schema := range t.store.schemas {
		target := targets[schema.Name]
		if versions[schema.Name] > len(schema.Steps) || target > len(schema.Steps) {
			return fmt.Errorf("%w: the tables of %s are at version %d, and this Wedge knows versions up to %d: update Wedge",
				ErrNewer, schema.Name, max(versions[schema.Name], target), len(schema.Steps))
		}
		if err := t.step(schema, versions[schema.Name], target); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tx) step(schema Schema, from, to int) error {
	for version := from + 1; version <= to; version++ {
		if err := t.run(schema.Steps[version-1]); err != nil {
			return fmt.Errorf("step %d of %s: %w", version, schema.Name, err)
		}
		err := t.run(`insert into schema_versions (name, version, at) values (?, ?, ?)
			on conflict (name) do update set version = excluded.version, at = excluded.at`,
			schema.Name, version, t.store.now().UnixMicro())
		if err != nil {
			return err
		}
	}
	return nil
}

// versions tells how many steps each schema has taken.
func (t *Tx) versions() (map[string]int, error) {
	rows, err := t.Query("select name, version from schema_versions")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	versions := map[string]int{}
	for rows.Next() {
		var name string
		var version int
		if err := rows.Scan(&name, &version); err != nil {
			return nil, err
		}
		versions[name] = version
	}
	return versions, rows.Err()
}
