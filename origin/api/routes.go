package api

import (
	"slices"

	"net/http"

	"github.com/wedge-proxy/wedge/origin/vault"
)

const (
	get  = http.MethodGet
	put  = http.MethodPut
	post = http.MethodPost
	del  = http.MethodDelete

	v1 = "/api/v1/"
)

var (
	paramAfter = param{"after", "string", "where the page begins: the next of the page before"}
	paramLimit = param{"limit", "integer", "how many items the page has at most: 1 to 1000, by default 100"}
	paramSince = param{"since", "string", "a time, or a span before now such as 24h or 7d"}
	paged      = []param{paramAfter, paramLimit}
)

// routes is all that can be asked for.
func routes() []route {
	all := append(systemRoutes(), catalogRoutes()...)
	for _, k := range kinds {
		all = append(all, kindRoutes(k.plural, k.kind)...)
	}
	return slices.Concat(all, modelRoutes(), nodeRoutes(), moneyRoutes(), costRoutes())
}

func systemRoutes() []route {
	return []route{
		{get, "/healthz", anyone, "Tells that the process is alive.", read((*call).health), nil},
		{get, "/readyz", anyone, "Tells whether the origin can do its work.", read((*call).ready), nil},
		{get, "/metrics", vault.Viewer, "Metrics for Prometheus.", raw("", mediaText, (*call).metrics), nil},
		{get, pathOpenAPI, vault.Viewer, "This document.", raw("", mediaJSON, (*call).describe), nil},
		{get, v1 + "tokens", vault.Admin, "Lists who has a token.", read((*call).tokens), nil},
		{post, v1 + "tokens", vault.Admin, "Makes a token for a person or program; it is told once.", making(write((*call).newToken)), nil},
		{del, v1 + "tokens/{name}", vault.Admin, "Makes a token good for nothing.", read((*call).revokeToken), nil},
		{get, v1 + "signer", vault.Admin, "Lists the signing keys that nodes believe.", read((*call).signers), nil},
		{del, v1 + "signer/{name}", vault.Admin, "Ends the trust in a signing key that signs no more.", read((*call).retireSigner), nil},
		{post, v1 + "signer/rotate", vault.Admin, "Makes a new signing key; nodes go on believing the one before, too.", read((*call).rotateSigner), nil},
		{post, v1 + "backup", vault.Admin, "Writes a backup of everything.", raw("", mediaBytes, (*call).backup), nil},
	}
}

func catalogRoutes() []route {
	return []route{
		{post, v1 + "apply", vault.Operator, "Makes a catalog, or a part of one, true.", apply(), []param{
			{"dry_run", "boolean", "tell what would change, and change nothing"},
			{"prune", "boolean", "delete what the catalog does not name"},
		}},
		{get, v1 + "catalog", vault.Viewer, "The whole catalog.", raw("", mediaJSON, (*call).catalog), []param{
			{"format", "string", "json, which is the default, or yaml"},
		}},
		{put, v1 + "blobs/{name}", vault.Operator, "Stores a blob, such as a policy's module, under its digest.", blob(), nil},
		{get, v1 + "blobs/{name}", vault.Viewer, "A blob; HEAD tells whether it is there.", raw("", mediaBytes, (*call).getBlob), nil},
		{get, v1 + "audit", vault.Viewer, "Who changed what, when and why, the latest first.", read((*call).audit), []param{
			{"before", "integer", "a revision: only earlier ones are listed"}, paramLimit,
		}},
		{get, v1 + "audit/actions", vault.Viewer, "What was done without a revision, such as tokens made and nodes drained, the latest first.", read((*call).actions), paged},
		{get, v1 + "audit/{kind}/{name...}", vault.Viewer, "What a resource was, the latest first.", read((*call).history), paged},
		{get, pathChanges, vault.Viewer, "Server-sent events: each revision as it is made. Goes on after Last-Event-ID.",
			raw("", mediaFeed, (*call).feed), []param{{"after", "integer", "the revision to begin after; by default the head"}}},
		{get, v1 + "usage", vault.Viewer, "What requests came to.", read((*call).usage), []param{
			paramSince, {"until", "string", "as since; by default now"},
			{"by", "string", "what the sums are told apart by, with commas between; by default model"},
			{"model", "string", "of this model only"}, {"version", "string", "of this version only"},
			{"where", "string", "which requests count, as for costs"},
			{"limit", "integer", "how many rows are told at most"},
		}},
		{get, v1 + "bundle", vault.Viewer, "The signed bundle, for nodes without an origin.", raw("", mediaBytes, (*call).bundle), nil},
	}
}

func apply() endpoint {
	e := read((*call).apply)
	e.media = mediaYAML
	return e
}

func blob() endpoint {
	e := making(read(func(*call) (b BlobStored, err error) { return b, nil }))
	e.media, e.serve = mediaBytes, (*call).putBlob
	return e
}

// kindRoutes are those of one kind of resources.
func kindRoutes(plural, kind string) []route {
	list, one := v1+plural, v1+plural+"/{name...}"
	if plural == "models" || plural == "keys" {
		one = v1 + plural + "/{name}" // more can follow
	}
	all := []route{
		{get, list, vault.Viewer, "Lists the " + plural + ".", read(listOf(kind)), paged},
		{get, one, vault.Viewer, "One of the " + plural + ".", getOf(kind), nil},
	}
	switch plural {
	case "secrets":
		return append(all,
			route{put, one, vault.Operator, "Keeps a secret. It is sealed to the nodes that need it, and never told again.", write((*call).putSecret), nil},
			route{del, one, vault.Admin, "Forgets a secret.", read((*call).deleteSecret), nil})
	case "keys":
		all = append(all,
			route{post, list, vault.Operator, "Makes a virtual key; it is told once.", making(write((*call).createKey)), nil},
			route{post, one + "/rotate", vault.Operator, "Gives a key's name and settings to a new key.", making(read((*call).rotateKey)), nil})
	}
	return append(all,
		route{put, one, vault.Operator, "Makes or replaces one of the " + plural + ".", guarded(write(putOf(kind))), nil},
		route{del, one, vault.Operator, "Deletes one of the " + plural + ".", guarded(read(deleteOf(kind))), nil})
}

func modelRoutes() []route {
	const model = v1 + "models/{name}/"
	return []route{
		{post, model + "versions", vault.Operator, "Makes a configuration a version, with the number that follows from what changed.", making(write((*call).createVersion)), nil},
		{post, model + "promote", vault.Operator, "Moves a version on in its life: at once, later, or step by step.", write((*call).promote), nil},
		{post, model + "rollback", vault.Operator, "Goes back to a version that was in production before, or ends a release.", write((*call).rollback), nil},
		{get, model + "diff", vault.Viewer, "Compares two versions.", read((*call).diff), []param{
			{"from", "string", "a version"}, {"to", "string", "a version"},
		}},
		{get, model + "metrics", vault.Viewer, "What nodes reported of each version.", read((*call).modelMetrics), []param{
			{"since", "string", "a time span before now, such as 1h, which is the default, or 7d"},
		}},
		{get, v1 + "releases", vault.Viewer, "Promotions that are not over, and how others ended.", read((*call).releases), nil},
		{del, v1 + "releases/{name}", vault.Operator, "Ends a model's release; what is in production stays.", read((*call).cancelRelease), nil},
	}
}

func nodeRoutes() []route {
	const node = v1 + "nodes/{name}"
	return []route{
		{get, v1 + "fleet", vault.Viewer, "How all nodes do, and which revision they have.", read((*call).fleet), nil},
		{get, v1 + "nodes", vault.Viewer, "Lists the nodes.", read((*call).nodes), paged},
		{get, node, vault.Viewer, "One node.", read((*call).node), nil},
		{post, v1 + "nodes/invite", vault.Operator, "Makes a join token, with which one node enrols.", making(write((*call).invite)), nil},
		{post, node + "/pin", vault.Operator, "Keeps a node at its revision.", write(step("pin")), nil},
		{post, node + "/unpin", vault.Operator, "Lets a node follow the head again.", write(step("unpin")), nil},
		{post, node + "/drain", vault.Operator, "Takes a node out of service.", write(step("drain")), nil},
		{post, node + "/undrain", vault.Operator, "Takes a node into service again.", write(step("undrain")), nil},
		{del, node, vault.Operator, "Removes a node; its certificate counts no more.", read((*call).removeNode), nil},
	}
}

func moneyRoutes() []route {
	before := []param{{"before", "integer", "the id of an alert: only earlier ones are listed"}, paramLimit}
	return []route{
		{get, v1 + "budgets/status", vault.Viewer, "Where all budgets stand in their present periods.", read((*call).budgets), paged},
		{get, v1 + "budgets/{name}/status", vault.Viewer, "Where a budget stands, and what nodes have of it.", read((*call).budget), nil},
		{post, v1 + "budgets/{name}/write-off", vault.Operator, "Counts as spent what a node that will not come back had of a budget.", write((*call).writeOff), nil},
		{get, v1 + "alerts", vault.Viewer, "What happened to money, the latest first.", read((*call).alerts), before},
		{get, v1 + "webhooks/deliveries", vault.Viewer, "What became of alerts on their way to webhooks.", read((*call).deliveries), before},
	}
}
