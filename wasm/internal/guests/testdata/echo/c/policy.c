/* Writes all that its views hold as actions, for sdk_test.go. */
#define WEDGE1_CAPS (WEDGE1_CAP_BODY | WEDGE1_CAP_SYSTEM | WEDGE1_CAP_USER | WEDGE1_CAP_HEADERS | WEDGE1_CAP_TARGETS | \
                     WEDGE1_CAP_CHUNK | WEDGE1_CAP_RESPONSE | WEDGE1_CAP_DONE | WEDGE1_CAP_STATE)
#include "wedge1.h"

static void num(wedge1_actions *a, uint32_t v) { wedge1_max_tokens(a, v); }
static void wide(wedge1_actions *a, uint64_t v) { wedge1_kv_add(a, WEDGE1_S(""), (int64_t)v, 0); }
static void text(wedge1_actions *a, const void *view, wedge1_span s) { wedge1_target(a, wedge1_of(view, s)); }

static void bits(wedge1_actions *a, uint32_t flags, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) num(a, flags >> i & 1);
}

static void pairs(wedge1_actions *a, const wedge1_request *r, wedge1_span table) {
    const wedge1_pair *rows = (const wedge1_pair *)wedge1_rows(r, table);
    for (uint32_t i = 0; i < wedge1_count(r, table); i++)
        wedge1_set_header(a, wedge1_of(r, rows[i].name), wedge1_of(r, rows[i].value));
}

static wedge1_str config;

WEDGE1_INIT(given) {
    config = given;
    return wedge1_json_get(given, WEDGE1_S("refuse")).ptr ? WEDGE1_ERR_CONFIG : 0;
}

static void every_action(wedge1_actions *a) {
    wedge1_target(a, WEDGE1_S("eu"));
    wedge1_critical(a);
    wedge1_shadow(a, WEDGE1_S("taken back"));
    wedge1_undo(a);
    wedge1_fallbacks(a, WEDGE1_S("eu,us"));
    wedge1_model(a, WEDGE1_S("bot@1.x"));
    wedge1_version(a, WEDGE1_S("1.2.0"));
    wedge1_set_header(a, WEDGE1_S("x-a"), WEDGE1_S("b"));
    wedge1_delete_header(a, WEDGE1_S("x-a"));
    wedge1_response_header(a, WEDGE1_S("x-b"), WEDGE1_S("\xc3\xa9"));
    wedge1_deny(a, 429, 30, WEDGE1_S("later"));
    wedge1_cache_salt(a, WEDGE1_S("fr"));
    wedge1_cache(a, WEDGE1_CACHE_EXACT, 60);
    wedge1_metric(a, WEDGE1_S("k"), WEDGE1_S("v"));
    wedge1_patch one = {3, 4, WEDGE1_S("ins")};
    wedge1_patches(a, &one, 1);
    wedge1_body(a, WEDGE1_S("{}"));
    wedge1_system(a, WEDGE1_PREPEND, WEDGE1_S("before"));
    wedge1_system(a, WEDGE1_REPLACE, WEDGE1_S("instead"));
    wedge1_message(a, 2, WEDGE1_S("text"));
    wedge1_max_tokens(a, 256);
    wedge1_timeout(a, 5000);
    wedge1_note(a, WEDGE1_WARN, WEDGE1_S("line"));
    wedge1_kv_put(a, WEDGE1_S("key"), WEDGE1_S("value"), 7);
    wedge1_kv_add(a, WEDGE1_S("count"), -5, 8);
    wedge1_hedge(a, 250);
    wedge1_shadow(a, WEDGE1_S("us"));
    wedge1_answer(a, WEDGE1_S("no"));
    wedge1_state(a, WEDGE1_S("left"));
    wedge1_replace(a, WEDGE1_S("other"));
    wedge1_drop(a);
    wedge1_stop(a, WEDGE1_S("enough"));
}

/* Uses every import. */
static void imports(wedge1_actions *a) {
    uint8_t got[8];
    wedge1_log(WEDGE1_INFO, (const uint8_t *)"hello", 5);
    num(a, (uint32_t)wedge1_kv_read((const uint8_t *)"none", 4, got, 8));
    num(a, (uint32_t)wedge1_kv_write((const uint8_t *)"k", 1, (const uint8_t *)"v", 1, 9));
    num(a, (uint32_t)wedge1_kv_read((const uint8_t *)"k", 1, got, 8));
    wedge1_target(a, wedge1_text(got, 1));
    wide(a, (uint64_t)wedge1_kv_count((const uint8_t *)"n", 1, -3, 0));
    wide(a, (uint64_t)wedge1_now_ms());
}

static int32_t special(wedge1_actions *a, wedge1_str model) {
    if (wedge1_eq(model, WEDGE1_S("every action"))) every_action(a);
    else if (wedge1_eq(model, WEDGE1_S("imports"))) imports(a);
    else if (wedge1_eq(model, WEDGE1_S("config"))) wedge1_target(a, wedge1_json_get(config, WEDGE1_S("name")));
    else if (wedge1_eq(model, WEDGE1_S("hash"))) wide(a, wedge1_hash(3, WEDGE1_S("abc")));
    else if (wedge1_eq(model, WEDGE1_S("fail"))) return WEDGE1_ERR_UNSUPPORTED;
    else return 0;
    return 1;
}

WEDGE1_REQUEST(r, a) {
    int32_t done = special(a, wedge1_of(r, r->model));
    if (done) return done < 0 ? done : 0;
    bits(a, r->flags, 5);
    wide(a, r->id);
    wide(a, (uint64_t)r->unix_ms);
    wide(a, r->prefix_hash);
    wide(a, r->random);
    num(a, r->prompt_tokens);
    num(a, r->max_tokens);
    num(a, r->messages);
    num(a, r->tools);
    uint32_t temperature;
    __builtin_memcpy(&temperature, &r->temperature, 4);
    num(a, temperature);
    num(a, r->attempt);
    text(a, r, r->model);
    text(a, r, r->tenant);
    text(a, r, r->user);
    text(a, r, r->endpoint);
    text(a, r, r->system);
    text(a, r, r->last_user);
    text(a, r, r->body);
    text(a, r, r->version);
    pairs(a, r, r->headers);
    pairs(a, r, r->kv);
    for (uint32_t i = 0; i < wedge1_targets(r); i++) {
        const wedge1_target_row *t = wedge1_target_at(r, i);
        text(a, r, t->name);
        text(a, r, t->region);
        bits(a, t->flags, 2);
        num(a, t->in_flight);
        num(a, t->ttft_us);
        num(a, t->token_us);
        num(a, t->price_in);
        num(a, t->price_out);
    }
    return 0;
}

WEDGE1_CHUNK(c, a) {
    bits(a, c->flags, 2);
    wide(a, c->id);
    num(a, c->seq);
    num(a, c->choice);
    num(a, c->tokens);
    text(a, c, c->text);
    text(a, c, c->state);
    text(a, c, c->finish);
    return 0;
}

WEDGE1_RESPONSE(r, a) {
    num(a, r->flags >> 1 & 1);
    wide(a, r->id);
    num(a, r->status);
    num(a, r->choice);
    num(a, r->input);
    num(a, r->output);
    text(a, r, r->text);
    text(a, r, r->state);
    text(a, r, r->finish);
    return 0;
}

WEDGE1_DONE(d, a) {
    bits(a, d->flags, 4);
    wide(a, d->id);
    num(a, d->status);
    num(a, d->ttft_us);
    num(a, d->duration_us);
    num(a, d->input);
    num(a, d->output);
    num(a, d->cached);
    num(a, d->reasoning);
    wide(a, d->cost_nano_usd);
    text(a, d, d->model);
    text(a, d, d->version);
    text(a, d, d->target);
    text(a, d, d->state);
    return 0;
}
