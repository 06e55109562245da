package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Invite prints a join token, alone, with which one node enrols.
func (s *Session) Invite(ctx context.Context, i Invitation) error {
	answer, err := s.change(ctx, http.MethodPost, "nodes/invite", i)
	if err != nil {
		return fmt.Errorf("cannot invite a node: %w", err)
	}
	return printAs(s, answer, func(t *table, made Invited) error {
		s.note("this token lets one node enrol until %s", stamp(made.Expires))
		t.line("%s", made.Token)
		return nil
	})
}

// ListNodes prints all nodes.
func (s *Session) ListNodes(ctx context.Context) error {
	answer, err := s.list(ctx, "nodes")
	if err != nil {
		return fmt.Errorf("cannot list the nodes: %w", err)
	}
	return printList(s, answer, func(t *table, items []Node) {
		t.row("NAME", "REGION", "STATE", "REV", "LAG", "SEEN", "VERSION", "ADDRESS", "REMARKS")
		for i := range items {
			n := &items[i]
			t.row(n.Name, n.Region, n.State, position(n.Epoch, n.Rev), whole(n.Lag), t.age(n.Seen), n.Version, n.Address, n.remarks())
		}
	})
}

// remarks are what is out of the ordinary about a node.
func (n *Node) remarks() string {
	var all []string
	if n.Pinned {
		all = append(all, "pinned")
	}
	if n.Drained {
		all = append(all, "drained")
	}
	if n.Reason != "" {
		all = append(all, "("+n.Reason+")")
	}
	if n.Refused != nil {
		all = append(all, fmt.Sprintf("refused %d: %s", n.Refused.Rev, n.Refused.Code))
	}
	return strings.Join(all, " ")
}

// ShowNode prints what is known of a node.
func (s *Session) ShowNode(ctx context.Context, name string) error {
	answer, err := s.get(ctx, at("nodes", name), nil)
	if err != nil {
		return fmt.Errorf("cannot show the node %s: %w", name, err)
	}
	return printAs(s, answer, func(t *table, n Node) error {
		t.row("node", n.Name)
		t.row("region", n.Region)
		t.row("state", n.State)
		t.row("address", n.Address)
		t.row("program", n.Version)
		t.row("in use", position(n.Epoch, n.Rev)+", "+plural(int(n.Lag), "revision")+" behind")
		t.row("digest", n.Digest)
		t.row("seen", since(t.age(n.Seen)))
		t.row("enrolled", stamp(n.Enrolled))
		t.row("certificate", until(stamp(n.Expires)))
		t.row("reports", whole(n.ReportSeq))
		if n.Pinned || n.Drained {
			t.row("kept", strings.TrimSpace(yes(n.Pinned, "pinned ")+yes(n.Drained, "drained ")), n.Reason)
		}
		if r := n.Refused; r != nil {
			t.row("refuses", fmt.Sprintf("%s since %s: %s", position(r.Epoch, r.Rev), stamp(r.At), refusal(r.Code, r.Resource, r.Message)))
		}
		return nil
	})
}

// position is where a node stands in the history.
func position(epoch, rev int64) string {
	if epoch == 0 && rev == 0 {
		return ""
	}
	return strconv.FormatInt(epoch, 10) + "/" + strconv.FormatInt(rev, 10)
}

func since(age string) string {
	if age == "" {
		return "never"
	}
	return age + " ago"
}

func until(stamp string) string {
	if stamp == "" {
		return ""
	}
	return "until " + stamp
}

func refusal(code, resource, message string) string {
	if resource != "" {
		code += ", " + resource
	}
	return code + ": " + message
}

// nodeSteps say what a node is after a step.
var nodeSteps = map[string]string{
	"pin": "stays at its revision", "unpin": "follows the origin again", "drain": "takes no new requests", "undrain": "takes requests again",
}

// StepNode pins, unpins, drains or undrains a node.
func (s *Session) StepNode(ctx context.Context, name, step string) error {
	body := map[string]string{}
	if s.Reason != "" {
		body["reason"] = s.Reason
	}
	answer, err := s.change(ctx, http.MethodPost, at("nodes", name, step), body)
	if err != nil {
		return fmt.Errorf("cannot %s the node %s: %w", step, name, err)
	}
	return s.printDone(answer, "the node "+name+" "+nodeSteps[step])
}

// RemoveNode makes the origin forget a node; its certificate counts no more.
func (s *Session) RemoveNode(ctx context.Context, name string) error {
	answer, err := s.change(ctx, http.MethodDelete, at("nodes", name), nil)
	if err != nil {
		return fmt.Errorf("cannot remove the node %s: %w", name, err)
	}
	return s.printDone(answer, "the node "+name+" is removed: it must be invited again to come back")
}

// Fleet prints the state of all nodes.
func (s *Session) Fleet(ctx context.Context) error {
	answer, _, err := s.fleet(ctx)
	if err != nil {
		return err
	}
	return s.printFleet(answer)
}

// fleetEvery is how long AwaitFleet waits before it looks again.
const fleetEvery = 200 * time.Millisecond

// AwaitFleet waits until every node online that follows has the head, or has it no more to come: a node refuses it, or the
// span is over. It prints the state then, and is an error unless the roll-out is done.
func (s *Session) AwaitFleet(ctx context.Context, span time.Duration) error {
	for waited := time.Duration(0); ; waited += fleetEvery {
		answer, f, err := s.fleet(ctx)
		if err != nil {
			return err
		}
		held := f.Rollout.Held
		done, refused := f.arrived(), held != nil && held.Rev >= f.Rev
		if !done && !refused && waited < span {
			if err := s.Client.wait(ctx, fleetEvery); err != nil {
				return err
			}
			continue
		}
		if err := s.printFleet(answer); err != nil || done {
			return err
		}
		if refused {
			return fmt.Errorf("revision %d is not everywhere: the node %s refuses it: %s: %s", f.Rev, held.Node, held.Code, held.Message)
		}
		return fmt.Errorf("revision %d is not everywhere after %s: the roll-out is %s, waiting for %s", f.Rev, span, f.Rollout.Stage,
			plural(f.Rollout.Waiting, "node"))
	}
}

// arrived says that the head is in use everywhere. Until the origin has begun to roll a new head out, its last roll-out
// is done, of a revision before.
func (f *Fleet) arrived() bool { return f.Rollout.Stage == "done" && f.Rollout.All >= f.Rev }

// fleet asks for the state of all nodes.
func (s *Session) fleet(ctx context.Context) (answer []byte, f Fleet, err error) {
	answer, err = s.get(ctx, "fleet", nil)
	if err != nil {
		return nil, Fleet{}, fmt.Errorf("cannot get the state of the fleet: %w", err)
	}
	if err := json.Unmarshal(answer, &f); err != nil {
		return nil, Fleet{}, s.notUnderstood(err)
	}
	return answer, f, nil
}

func (s *Session) printFleet(answer []byte) error {
	return printAs(s, answer, func(t *table, f Fleet) error {
		t.row("head", position(f.Epoch, f.Rev)+", made "+since(t.age(f.Issued)))
		t.row("roll-out", f.Rollout.line(t))
		if h := f.Rollout.Held; h != nil {
			t.row("held", fmt.Sprintf("revision %d by the node %s: %s: %s", h.Rev, h.Node, h.Code, h.Message))
		}
		t.row("nodes", fmt.Sprintf("%d, %d online", f.Nodes, f.Online))
		t.line("")
		t.row("REVISION", "NODES", "ONLINE")
		for _, at := range f.Spread {
			t.row(position(at.Epoch, at.Rev), strconv.Itoa(at.Nodes), strconv.Itoa(at.Online))
		}
		return nil
	})
}

// line tells how far a roll-out is.
func (r *Rollout) line(t *table) string {
	if r.Stage == "done" {
		return "done"
	}
	text := fmt.Sprintf("%s (first nodes %d, tenth %d, all %d)", r.Stage, r.Canary, r.Tenth, r.All)
	if !r.Since.IsZero() {
		text += " for " + t.age(r.Since)
	}
	if r.Waiting > 0 {
		text += ", waiting for " + plural(r.Waiting, "node")
	}
	return text
}

// Audit prints who made which revision, the latest first, at most limit of them.
func (s *Session) Audit(ctx context.Context, q AuditQuery) error {
	answer, err := s.trail(ctx, "audit", "before", q)
	if err != nil {
		return fmt.Errorf("cannot get the audit trail: %w", err)
	}
	return printList(s, answer, func(t *table, items []Record) {
		t.row("REV", "AT", "BY", "WHAT", "WHY")
		for i := range items {
			r := &items[i]
			t.row(whole(r.Rev), stamp(r.At), r.Actor, r.what(), r.Reason)
		}
	})
}

// Actions prints what was done without a revision, the latest first.
func (s *Session) Actions(ctx context.Context, q AuditQuery) error {
	answer, err := s.trail(ctx, "audit/actions", "after", q)
	if err != nil {
		return fmt.Errorf("cannot get the actions: %w", err)
	}
	return printList(s, answer, func(t *table, items []Action) {
		t.row("AT", "BY", "WHAT", "OF", "DETAIL", "WHY")
		for i := range items {
			a := &items[i]
			t.row(stamp(a.At), a.Actor, a.Action, a.Subject, a.Detail, a.Reason)
		}
	})
}

// mostAudited is how many records a page has at most.
const mostAudited = 1000

// trail asks for a part of the audit trail, whose pages begin where the parameter from says.
func (s *Session) trail(ctx context.Context, path, from string, q AuditQuery) ([]byte, error) {
	query := url.Values{"limit": {strconv.Itoa(q.Limit)}}
	if q.Before > 0 {
		query.Set(from, strconv.FormatInt(q.Before, 10))
	}
	if q.Since.IsZero() {
		return s.get(ctx, path, query)
	}
	query.Set("limit", strconv.Itoa(mostAudited))
	whole := page{Items: []json.RawMessage{}}
	for {
		answer, err := s.get(ctx, path, query)
		if err != nil {
			return nil, err
		}
		var p page
		if err := json.Unmarshal(answer, &p); err != nil {
			return nil, s.notUnderstood(err)
		}
		for _, item := range p.Items {
			var of struct {
				At time.Time `json:"at"`
			}
			if err := json.Unmarshal(item, &of); err != nil {
				return nil, s.notUnderstood(err)
			}
			if of.At.Before(q.Since) {
				return json.Marshal(whole)
			}
			whole.Items = append(whole.Items, item)
		}
		next := p.next()
		if next == "" || next == query.Get(from) {
			return json.Marshal(whole)
		}
		query.Set(from, next)
	}
}

// maxNamed is how many resources of a revision are named in a table.
const maxNamed = 3

func (r *Record) what() string {
	var all []string
	for i, item := range r.Items {
		if i == maxNamed {
			all = append(all, fmt.Sprintf("and %d more", len(r.Items)-maxNamed))
			break
		}
		all = append(all, item.Action+" "+item.Kind+" "+item.Name)
	}
	return strings.Join(all, ", ")
}

// History prints what a resource was, the latest first.
func (s *Session) History(ctx context.Context, word, name string) error {
	k, err := findKind(word)
	if err != nil {
		return err
	}
	answer, err := s.list(ctx, at("audit", k.kind, name))
	if err != nil {
		return fmt.Errorf("cannot get the history of the %s %s: %w", k.kind, name, err)
	}
	return printList(s, answer, func(t *table, items []Past) {
		t.row("REV", "AT", "BY", "WHAT", "WHY")
		for i := range items {
			p := &items[i]
			what := "put"
			if len(p.Body) == 0 || string(p.Body) == "null" {
				what = "deleted"
			}
			t.row(whole(p.Rev), stamp(p.At), p.Actor, what, p.Reason)
		}
	})
}
