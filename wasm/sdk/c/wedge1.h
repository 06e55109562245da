/* wedge1.h: write a Wedge policy in C or C++. It is the whole SDK; it needs no C library.
 *
 *     #define WEDGE1_CAPS WEDGE1_CAP_HEADERS
 *     #include "wedge1.h"
 *
 *     WEDGE1_REQUEST(request, actions) {
 *         if (wedge1_starts(wedge1_header(request, WEDGE1_S("accept-language")), WEDGE1_S("fr")))
 *             wedge1_target(actions, WEDGE1_S("eu"));
 *         return 0;
 *     }
 *
 * Build: clang --target=wasm32 -O3 -mbulk-memory -ffreestanding -nostdlib -Wl,--no-entry -Wl,-z,stack-size=16384
 *        -Wl,--strip-debug -o policy.wasm policy.c
 *
 * The header exports memory, wedge1_caps, wedge1_alloc and wedge1_init; each WEDGE1_… hook exports its own function.
 * A hook returns 0, or a negative WEDGE1_ERR_… that fails the call. Views and texts are valid until the hook returns;
 * the config's are valid for good. One translation unit of a module includes this header. */
#ifndef WEDGE1_H
#define WEDGE1_H

#include <stdint.h>

#ifdef __cplusplus
#define WEDGE1_C extern "C"
#else
#define WEDGE1_C extern
#endif
#define WEDGE1_EXPORT(name) WEDGE1_C __attribute__((export_name(name), used, visibility("default")))
#define WEDGE1_IMPORT(name) WEDGE1_C __attribute__((import_module("wedge1"), import_name(name)))
#define WEDGE1_FN static inline __attribute__((unused))

/* What the policy wants to see. Define WEDGE1_CAPS before the include; hooks add their own bit there. */
enum {
    WEDGE1_CAP_BODY = 2,       /* the raw body */
    WEDGE1_CAP_SYSTEM = 4,     /* the system text */
    WEDGE1_CAP_USER = 8,       /* the last user text */
    WEDGE1_CAP_HEADERS = 16,   /* the headers that the catalog lists */
    WEDGE1_CAP_TARGETS = 32,   /* the table of targets */
    WEDGE1_CAP_CHUNK = 64,     /* WEDGE1_CHUNK is there */
    WEDGE1_CAP_RESPONSE = 128, /* WEDGE1_RESPONSE is there */
    WEDGE1_CAP_DONE = 256,     /* WEDGE1_DONE is there */
    WEDGE1_CAP_STATE = 512     /* keeps state in its memory between requests */
};
#ifndef WEDGE1_CAPS
#define WEDGE1_CAPS 0
#endif

enum {
    WEDGE1_ERR_INTERNAL = -1,
    WEDGE1_ERR_BAD_INPUT = -2,
    WEDGE1_ERR_UNSUPPORTED = -3,
    WEDGE1_ERR_CONFIG = -4,
    WEDGE1_ERR_EXHAUSTED = -5
};

/* ---- text ------------------------------------------------------------------------------------------------------ */

/* Borrowed bytes, UTF-8 where they are text, without a terminator. */
typedef struct {
    const uint8_t *ptr;
    uint32_t len;
} wedge1_str;

WEDGE1_FN wedge1_str wedge1_text(const void *ptr, uint32_t len) {
    wedge1_str s;
    s.ptr = (const uint8_t *)ptr;
    s.len = len;
    return s;
}

/* A literal as text. */
#define WEDGE1_S(literal) wedge1_text("" literal, sizeof(literal) - 1)

/* Eight bytes at a time: the node counts every turn of a loop. */
WEDGE1_FN int wedge1_same(const uint8_t *a, const uint8_t *b, uint32_t n) {
    for (; n >= 8; a += 8, b += 8, n -= 8) {
        uint64_t x, y;
        __builtin_memcpy(&x, a, 8);
        __builtin_memcpy(&y, b, 8);
        if (x != y) return 0;
    }
    for (; n; a++, b++, n--)
        if (*a != *b) return 0;
    return 1;
}

WEDGE1_FN int wedge1_eq(wedge1_str a, wedge1_str b) { return a.len == b.len && wedge1_same(a.ptr, b.ptr, a.len); }

WEDGE1_FN int wedge1_starts(wedge1_str s, wedge1_str prefix) {
    return s.len >= prefix.len && wedge1_same(s.ptr, prefix.ptr, prefix.len);
}

WEDGE1_FN uint8_t wedge1_lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 32) : c; }

/* Equal but for the case of ASCII letters. */
WEDGE1_FN int wedge1_eq_fold(wedge1_str a, wedge1_str b) {
    if (a.len != b.len) return 0;
    if (wedge1_same(a.ptr, b.ptr, a.len)) return 1;
    for (uint32_t i = 0; i < a.len; i++)
        if (wedge1_lower(a.ptr[i]) != wedge1_lower(b.ptr[i])) return 0;
    return 1;
}

/* The part of s from its byte `from` up to, not including, its byte `to`; both are cut to the length of s. */
WEDGE1_FN wedge1_str wedge1_cut(wedge1_str s, uint32_t from, uint32_t to) {
    if (to > s.len) to = s.len;
    if (from > to) from = to;
    return wedge1_text(s.ptr + from, to - from);
}

/* Where part first stands in s, or -1. With fold, the case of ASCII letters does not count. */
WEDGE1_FN int32_t wedge1_find(wedge1_str s, wedge1_str part, int fold) {
    for (uint32_t i = 0; i + part.len <= s.len; i++) {
        wedge1_str here = wedge1_text(s.ptr + i, part.len);
        if (fold ? wedge1_eq_fold(here, part) : wedge1_eq(here, part)) return (int32_t)i;
    }
    return -1;
}

/* FNV-1a over s with a mixed end: the same text gives the same number in every SDK. Start with seed 0. */
WEDGE1_FN uint64_t wedge1_hash(uint64_t seed, wedge1_str s) {
    uint64_t h = 14695981039346656037ull ^ seed;
    for (uint32_t i = 0; i < s.len; i++) h = (h ^ s.ptr[i]) * 1099511628211ull;
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdull;
    return h ^ (h >> 33);
}

/* ---- memory ---------------------------------------------------------------------------------------------------- */

#ifndef WEDGE1_INPUT
#define WEDGE1_INPUT 16384 /* bytes that are there from the start; a longer view takes fresh pages */
#endif
#ifndef WEDGE1_OUTPUT
#define WEDGE1_OUTPUT 4096
#endif
#ifndef WEDGE1_CONFIG
#define WEDGE1_CONFIG 1024
#endif

WEDGE1_FN void wedge1_copy(uint8_t *to, const uint8_t *from, uint32_t n) {
    if (n >= 32) {
        __builtin_memcpy(to, from, n);
        return;
    }
    for (; n >= 8; to += 8, from += 8, n -= 8) __builtin_memcpy(to, from, 8); /* a bulk copy costs more than that */
    for (; n; n--) *to++ = *from++;
}

/* Fresh zeroed memory in whole pages that nobody frees, or NULL. */
WEDGE1_FN uint8_t *wedge1_pages(uint32_t size) {
    uintptr_t old = __builtin_wasm_memory_grow(0, (size >> 16) + 1);
    return old == (uintptr_t)-1 ? (uint8_t *)0 : (uint8_t *)(old << 16);
}

static uint8_t wedge1_first_in[WEDGE1_INPUT] __attribute__((aligned(8)));
static uint8_t *wedge1_in = wedge1_first_in;
static uint32_t wedge1_in_cap = WEDGE1_INPUT;

WEDGE1_EXPORT("wedge1_alloc") uint8_t *wedge1_alloc(uint32_t size) {
    if (size > wedge1_in_cap) {
        uint32_t want = size > 2 * wedge1_in_cap ? size : 2 * wedge1_in_cap;
        uint8_t *fresh = wedge1_pages(want);
        if (!fresh) return fresh;
        wedge1_in = fresh;
        wedge1_in_cap = want;
    }
    return wedge1_in;
}

/* ---- views ----------------------------------------------------------------------------------------------------- */

/* Where a text lies in the view. wedge1_of(view, span) is the text. */
typedef struct {
    uint32_t off, len;
} wedge1_span;

WEDGE1_FN wedge1_str wedge1_of(const void *view, wedge1_span span) {
    return wedge1_text((const uint8_t *)view + span.off, span.len);
}

enum { WEDGE1_STREAM = 1, WEDGE1_TOOLS = 2, WEDGE1_IMAGES = 4, WEDGE1_JSON_OUTPUT = 8, WEDGE1_RETRY = 16 };

typedef struct {
    uint32_t magic, total, header_len;
    uint32_t flags;           /* WEDGE1_STREAM … */
    uint64_t id;
    int64_t unix_ms;
    uint64_t prefix_hash;     /* of system text and tools */
    uint64_t random;
    uint32_t prompt_tokens;   /* estimated */
    uint32_t max_tokens;      /* 0 where the client is silent */
    uint32_t messages, tools; /* how many */
    float temperature;        /* NaN where the client is silent */
    uint32_t attempt;         /* 0 for the first */
    wedge1_span model, tenant, user, endpoint, system, last_user, headers, targets, body, kv, version;
} wedge1_request;

enum { WEDGE1_HEALTHY = 1, WEDGE1_BREAKER = 2 };

typedef struct {
    wedge1_span name, region;
    uint32_t flags;     /* WEDGE1_HEALTHY, WEDGE1_BREAKER */
    uint32_t in_flight;
    uint32_t ttft_us;   /* moving average of the time to first token; 0 unknown */
    uint32_t token_us;  /* moving average per output token; 0 unknown */
    uint32_t price_in;  /* nano-USD per 1,000 tokens; UINT32_MAX unknown */
    uint32_t price_out;
} wedge1_target_row;

enum { WEDGE1_DONE_ERROR = 1, WEDGE1_DONE_CACHED = 2, WEDGE1_DONE_CANCELLED = 4, WEDGE1_DONE_STREAM = 8 };

typedef struct {
    uint32_t magic, total, header_len;
    uint32_t flags; /* WEDGE1_DONE_CACHED */
    uint64_t id;
    uint32_t status, choice, input, output; /* input and output in tokens */
    wedge1_span text, state, finish;
} wedge1_response;

enum { WEDGE1_FIRST = 1, WEDGE1_LAST = 2 };

typedef struct {
    uint32_t magic, total, header_len;
    uint32_t flags;  /* WEDGE1_FIRST, WEDGE1_LAST */
    uint64_t id;
    uint32_t seq;    /* counts this request's chunks from 0 */
    uint32_t choice;
    uint32_t tokens; /* sent so far, estimated */
    uint32_t reserved;
    wedge1_span text, state, finish;
} wedge1_chunk;

typedef struct {
    uint32_t magic, total, header_len;
    uint32_t flags; /* WEDGE1_DONE_ERROR … */
    uint64_t id;
    uint32_t status, ttft_us, duration_us;
    uint32_t input, output, cached, reasoning; /* tokens */
    uint32_t reserved;
    uint64_t cost_nano_usd; /* UINT64_MAX unknown */
    wedge1_span model, version, target, state;
} wedge1_done;

#ifdef __cplusplus
static_assert(sizeof(wedge1_request) == 160 && sizeof(wedge1_target_row) == 40, "wedge1 layout");
static_assert(sizeof(wedge1_response) == 64 && sizeof(wedge1_chunk) == 64 && sizeof(wedge1_done) == 96, "wedge1 layout");
#else
_Static_assert(sizeof(wedge1_request) == 160 && sizeof(wedge1_target_row) == 40, "wedge1 layout");
_Static_assert(sizeof(wedge1_response) == 64 && sizeof(wedge1_chunk) == 64 && sizeof(wedge1_done) == 96, "wedge1 layout");
#endif

typedef struct {
    wedge1_span name, value;
} wedge1_pair;

/* How many rows the headers, key-values or targets have, and where they start. */
WEDGE1_FN uint32_t wedge1_count(const void *view, wedge1_span table) {
    return table.len < 4 ? 0 : *(const uint32_t *)((const uint8_t *)view + table.off);
}

WEDGE1_FN const void *wedge1_rows(const void *view, wedge1_span table) {
    return (const uint8_t *)view + table.off + 4;
}

/* The value of a name in the headers or key-values; the case of ASCII letters does not count. ptr is NULL if absent. */
WEDGE1_FN wedge1_str wedge1_lookup(const void *view, wedge1_span table, wedge1_str name) {
    const wedge1_pair *rows = (const wedge1_pair *)wedge1_rows(view, table);
    uint32_t n = wedge1_count(view, table);
    for (uint32_t i = 0; i < n; i++)
        if (wedge1_eq_fold(wedge1_of(view, rows[i].name), name)) return wedge1_of(view, rows[i].value);
    return wedge1_text((const void *)0, 0);
}

WEDGE1_FN wedge1_str wedge1_header(const wedge1_request *r, wedge1_str name) { return wedge1_lookup(r, r->headers, name); }
WEDGE1_FN wedge1_str wedge1_kv(const wedge1_request *r, wedge1_str key) { return wedge1_lookup(r, r->kv, key); }

WEDGE1_FN uint32_t wedge1_targets(const wedge1_request *r) { return wedge1_count(r, r->targets); }
WEDGE1_FN const wedge1_target_row *wedge1_target_at(const wedge1_request *r, uint32_t i) {
    return (const wedge1_target_row *)wedge1_rows(r, r->targets) + i;
}

/* ---- JSON: enough for a config --------------------------------------------------------------------------------- */

/* A walk over the members of an object or the elements of an array. Start with wedge1_json(text). */
typedef struct {
    wedge1_str rest;
} wedge1_json_walk;

WEDGE1_FN wedge1_str wedge1_json_trim(wedge1_str s) {
    while (s.len && (*s.ptr == ' ' || *s.ptr == '\n' || *s.ptr == '\t' || *s.ptr == '\r' || *s.ptr == ',' || *s.ptr == ':'))
        s.ptr++, s.len--;
    return s;
}

/* How long the value at the start of s is. */
WEDGE1_FN uint32_t wedge1_json_span(wedge1_str s) {
    uint32_t depth = 0, i = 0;
    int quoted = 0;
    for (; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        if (quoted) {
            if (c == '\\') i++;
            else if (c == '"') quoted = 0;
            if (!quoted && depth == 0) return i + 1;
            continue;
        }
        if (c == '"') quoted = 1;
        else if (c == '{' || c == '[') depth++;
        else if (c == '}' || c == ']') {
            if (depth == 0) return i;
            if (--depth == 0) return i + 1;
        } else if (depth == 0 && (c == ',' || c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == ':'))
            return i;
    }
    return i < s.len ? i : s.len;
}

WEDGE1_FN wedge1_json_walk wedge1_json(wedge1_str text) {
    wedge1_json_walk walk;
    walk.rest = wedge1_json_trim(text);
    walk.rest = wedge1_cut(walk.rest, 1, walk.rest.len);
    return walk;
}

/* The next element; 0 at the end. A string comes without its quotes, its escapes as they stand. */
WEDGE1_FN int wedge1_json_element(wedge1_json_walk *walk, wedge1_str *value) {
    wedge1_str s = wedge1_json_trim(walk->rest);
    uint32_t n = wedge1_json_span(s);
    if (n == 0) return 0;
    walk->rest = wedge1_cut(s, n, s.len);
    *value = *s.ptr == '"' && n > 1 ? wedge1_cut(s, 1, n - 1) : wedge1_cut(s, 0, n);
    return 1;
}

/* The next member; 0 at the end. */
WEDGE1_FN int wedge1_json_member(wedge1_json_walk *walk, wedge1_str *name, wedge1_str *value) {
    return wedge1_json_element(walk, name) && wedge1_json_element(walk, value);
}

/* The value of a member of the object, or ptr NULL. */
WEDGE1_FN wedge1_str wedge1_json_get(wedge1_str object, wedge1_str name) {
    wedge1_json_walk walk = wedge1_json(object);
    wedge1_str key, value;
    while (wedge1_json_member(&walk, &key, &value))
        if (wedge1_eq(key, name)) return value;
    return wedge1_text((const void *)0, 0);
}

/* The whole number that s begins with, or otherwise if it begins with none. */
WEDGE1_FN int64_t wedge1_int(wedge1_str s, int64_t otherwise) {
    uint32_t i = s.len && *s.ptr == '-';
    uint32_t first = i;
    uint64_t v = 0;
    for (; i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9'; i++) v = v * 10 + (s.ptr[i] - '0');
    if (i == first) return otherwise;
    return first ? -(int64_t)v : (int64_t)v;
}

/* ---- actions --------------------------------------------------------------------------------------------------- */

/* The list that a hook fills. */
typedef struct {
    uint8_t *ptr;
    uint32_t len, cap;
    uint32_t last;   /* where the newest action starts */
    uint32_t failed; /* no memory was left */
} wedge1_actions;

static uint8_t wedge1_first_out[WEDGE1_OUTPUT] __attribute__((aligned(8)));
static wedge1_actions wedge1_out = {wedge1_first_out, 0, WEDGE1_OUTPUT, 0, 0};

static __attribute__((noinline, unused)) uint8_t *wedge1_grow(wedge1_actions *a, uint32_t n) {
    uint32_t want = a->len + n > 2 * a->cap ? a->len + n : 2 * a->cap;
    uint8_t *fresh = wedge1_pages(want);
    if (!fresh) {
        a->failed = 1;
        return fresh;
    }
    wedge1_copy(fresh, a->ptr, a->len);
    a->ptr = fresh;
    a->cap = want;
    return a->ptr + a->len;
}

/* Room for n more bytes, or NULL. */
WEDGE1_FN uint8_t *wedge1_room(wedge1_actions *a, uint32_t n) {
    return n > a->cap - a->len ? wedge1_grow(a, n) : a->ptr + a->len;
}

WEDGE1_FN void wedge1_put(wedge1_actions *a, wedge1_str s) {
    uint8_t *to = wedge1_room(a, s.len);
    if (!to) return;
    wedge1_copy(to, s.ptr, s.len);
    a->len += s.len;
}

WEDGE1_FN void wedge1_put_u16(wedge1_actions *a, uint32_t v) {
    uint8_t *to = wedge1_room(a, 2);
    if (!to) return;
    to[0] = (uint8_t)v;
    to[1] = (uint8_t)(v >> 8);
    a->len += 2;
}

WEDGE1_FN void wedge1_put_u32(wedge1_actions *a, uint32_t v) {
    uint8_t *to = wedge1_room(a, 4);
    if (!to) return;
    __builtin_memcpy(to, &v, 4);
    a->len += 4;
}

/* wedge1_begin and wedge1_end enclose an action's payload, written with wedge1_put…: for text that is made in place. */
WEDGE1_FN void wedge1_begin(wedge1_actions *a, uint16_t tag) {
    a->last = a->len;
    wedge1_put_u32(a, tag);
    wedge1_put_u32(a, 0);
}

WEDGE1_FN void wedge1_end(wedge1_actions *a) {
    uint32_t len = a->len - a->last - 8;
    uint32_t pad = (0 - len) & 3;
    if (a->failed || !wedge1_room(a, pad)) return;
    __builtin_memcpy(a->ptr + a->last + 4, &len, 4);
    for (uint32_t i = 0; i < pad; i++) a->ptr[a->len++] = 0;
}

/* Take the newest action back, before or after its wedge1_end. */
WEDGE1_FN void wedge1_undo(wedge1_actions *a) { a->len = a->last; }

/* Refuse the request rather than do without the newest action. */
WEDGE1_FN void wedge1_critical(wedge1_actions *a) {
    if (a->len > a->last) a->ptr[a->last + 2] |= 1;
}

WEDGE1_FN void wedge1_add(wedge1_actions *a, uint16_t tag, wedge1_str rest) {
    wedge1_begin(a, tag);
    wedge1_put(a, rest);
    wedge1_end(a);
}

WEDGE1_FN void wedge1_add_u32(wedge1_actions *a, uint16_t tag, uint32_t v, wedge1_str rest) {
    wedge1_begin(a, tag);
    wedge1_put_u32(a, v);
    wedge1_put(a, rest);
    wedge1_end(a);
}

WEDGE1_FN void wedge1_add_pair(wedge1_actions *a, uint16_t tag, wedge1_str name, wedge1_str value) {
    wedge1_begin(a, tag);
    wedge1_put_u16(a, name.len);
    wedge1_put(a, name);
    wedge1_put(a, value);
    wedge1_end(a);
}

enum { WEDGE1_CACHE_KEEP, WEDGE1_CACHE_OFF, WEDGE1_CACHE_EXACT };
enum { WEDGE1_PREPEND, WEDGE1_REPLACE };
enum { WEDGE1_DEBUG, WEDGE1_INFO, WEDGE1_WARN, WEDGE1_ERROR };
enum { WEDGE1_TAG_TEXT = 25, WEDGE1_TAG_MESSAGE = 15, WEDGE1_TAG_KV_PUT = 19, WEDGE1_TAG_STATE = 24 }; /* for wedge1_begin */

/* Routing. */
WEDGE1_FN void wedge1_target(wedge1_actions *a, wedge1_str name) { wedge1_add(a, 1, name); }
WEDGE1_FN void wedge1_fallbacks(wedge1_actions *a, wedge1_str names) { wedge1_add(a, 2, names); } /* with commas */
WEDGE1_FN void wedge1_model(wedge1_actions *a, wedge1_str model) { wedge1_add(a, 3, model); }
WEDGE1_FN void wedge1_version(wedge1_actions *a, wedge1_str version_or_arm) { wedge1_add(a, 4, version_or_arm); }
WEDGE1_FN void wedge1_max_tokens(wedge1_actions *a, uint32_t n) { wedge1_add_u32(a, 16, n, wedge1_text(0, 0)); }
WEDGE1_FN void wedge1_timeout(wedge1_actions *a, uint32_t ms) { wedge1_add_u32(a, 17, ms, wedge1_text(0, 0)); }
WEDGE1_FN void wedge1_hedge(wedge1_actions *a, uint32_t ms) { wedge1_add_u32(a, 21, ms, wedge1_text(0, 0)); }
WEDGE1_FN void wedge1_shadow(wedge1_actions *a, wedge1_str target) { wedge1_add(a, 22, target); }

/* Headers: of the request upstream, and of the answer to the client. */
WEDGE1_FN void wedge1_set_header(wedge1_actions *a, wedge1_str name, wedge1_str value) { wedge1_add_pair(a, 5, name, value); }
WEDGE1_FN void wedge1_delete_header(wedge1_actions *a, wedge1_str name) { wedge1_add(a, 6, name); }
WEDGE1_FN void wedge1_response_header(wedge1_actions *a, wedge1_str name, wedge1_str value) { wedge1_add_pair(a, 7, name, value); }

/* An end without a target: an error (retry_after in seconds, 0 for none), or an answer in the client's dialect. */
WEDGE1_FN void wedge1_deny(wedge1_actions *a, uint32_t status, uint32_t retry_after, wedge1_str message) {
    wedge1_add_u32(a, 8, (status & 0xffff) | retry_after << 16, message);
}
WEDGE1_FN void wedge1_answer(wedge1_actions *a, wedge1_str text) { wedge1_add(a, 23, text); }

/* The cache: bytes that become part of the key; the mode (WEDGE1_CACHE_…) and time to live (0: the model's). */
WEDGE1_FN void wedge1_cache_salt(wedge1_actions *a, wedge1_str salt) { wedge1_add(a, 9, salt); }
WEDGE1_FN void wedge1_cache(wedge1_actions *a, uint32_t mode, uint32_t ttl_s) {
    wedge1_add_u32(a, 10, mode, wedge1_text(&ttl_s, 4));
}

/* The prompt. Patches are sorted, do not overlap, and count in bytes of the body as it came. */
typedef struct {
    uint32_t offset, remove;
    wedge1_str insert;
} wedge1_patch;

WEDGE1_FN void wedge1_patches(wedge1_actions *a, const wedge1_patch *patches, uint32_t n) {
    wedge1_begin(a, 12);
    wedge1_put_u32(a, n);
    for (uint32_t i = 0; i < n; i++) {
        wedge1_put_u32(a, patches[i].offset);
        wedge1_put_u32(a, patches[i].remove);
        wedge1_put_u32(a, patches[i].insert.len);
    }
    for (uint32_t i = 0; i < n; i++) wedge1_put(a, patches[i].insert);
    wedge1_end(a);
}
WEDGE1_FN void wedge1_body(wedge1_actions *a, wedge1_str body) { wedge1_add(a, 13, body); }
WEDGE1_FN void wedge1_system(wedge1_actions *a, uint32_t mode, wedge1_str text) { wedge1_add_u32(a, 14, mode, text); }
WEDGE1_FN void wedge1_message(wedge1_actions *a, uint32_t i, wedge1_str text) { wedge1_add_u32(a, 15, i, text); }

/* The answer: other text, no chunk, an early end, and at most 256 bytes that the next view brings back. */
WEDGE1_FN void wedge1_replace(wedge1_actions *a, wedge1_str text) { wedge1_add(a, WEDGE1_TAG_TEXT, text); }
WEDGE1_FN void wedge1_drop(wedge1_actions *a) { wedge1_add(a, 26, wedge1_text(0, 0)); }
WEDGE1_FN void wedge1_stop(wedge1_actions *a, wedge1_str reason) { wedge1_add(a, 27, reason); }
WEDGE1_FN void wedge1_state(wedge1_actions *a, wedge1_str state) { wedge1_add(a, WEDGE1_TAG_STATE, state); }

/* Notes: a metric's label (at most 8, 32 bytes each part), and a line in the log. */
WEDGE1_FN void wedge1_metric(wedge1_actions *a, wedge1_str key, wedge1_str value) { wedge1_add_pair(a, 11, key, value); }
WEDGE1_FN void wedge1_note(wedge1_actions *a, uint32_t level, wedge1_str text) { wedge1_add_u32(a, 18, level, text); }

/* Key-values of this policy, carried out after the call; ttl in seconds, 0 while the node runs. */
WEDGE1_FN void wedge1_kv_put(wedge1_actions *a, wedge1_str key, wedge1_str value, uint32_t ttl_s) {
    wedge1_begin(a, WEDGE1_TAG_KV_PUT);
    wedge1_put_u32(a, ttl_s);
    wedge1_put_u16(a, key.len);
    wedge1_put(a, key);
    wedge1_put(a, value);
    wedge1_end(a);
}
WEDGE1_FN void wedge1_kv_add(wedge1_actions *a, wedge1_str key, int64_t delta, uint32_t ttl_s) {
    wedge1_begin(a, 20);
    wedge1_put_u32(a, (uint32_t)delta);
    wedge1_put_u32(a, (uint32_t)((uint64_t)delta >> 32));
    wedge1_put_u32(a, ttl_s);
    wedge1_put(a, key);
    wedge1_end(a);
}

/* ---- imports: what is used is imported -------------------------------------------------------------------------- */

WEDGE1_IMPORT("log") void wedge1_log(uint32_t level, const uint8_t *text, uint32_t len);
/* Copies the value to dst if it fits, and returns its length; negative if there is none. */
WEDGE1_IMPORT("kv_get") int32_t wedge1_kv_read(const uint8_t *key, uint32_t key_len, uint8_t *dst, uint32_t cap);
/* 0, or negative if the value cannot be kept. */
WEDGE1_IMPORT("kv_put") int32_t wedge1_kv_write(const uint8_t *key, uint32_t key_len, const uint8_t *value, uint32_t len, uint32_t ttl_s);
/* The sum after the addition. */
WEDGE1_IMPORT("kv_add") int64_t wedge1_kv_count(const uint8_t *key, uint32_t key_len, int64_t delta, uint32_t ttl_s);
WEDGE1_IMPORT("now_ms") int64_t wedge1_now_ms(void);

/* ---- exports --------------------------------------------------------------------------------------------------- */

WEDGE1_EXPORT("wedge1_caps") uint32_t wedge1_caps(void) { return WEDGE1_CAPS; }

/* WEDGE1_INIT(config) { … } reads the catalog's config, a JSON object; without it any config is good. */
WEDGE1_C __attribute__((weak)) int32_t wedge1_on_init(wedge1_str config);
#define WEDGE1_INIT(config) WEDGE1_C int32_t wedge1_on_init(wedge1_str config)

static uint8_t wedge1_config[WEDGE1_CONFIG];

/* What the policy keeps of its config outlives the buffer that the next view is written to. */
WEDGE1_EXPORT("wedge1_init") int32_t wedge1_init(uint32_t len) {
    if (!wedge1_on_init) return 0;
    uint8_t *kept = len > WEDGE1_CONFIG ? wedge1_pages(len) : wedge1_config;
    if (!kept) return WEDGE1_ERR_EXHAUSTED;
    wedge1_copy(kept, wedge1_in, len);
    return wedge1_on_init(wedge1_text(kept, len));
}

WEDGE1_FN wedge1_actions *wedge1_fresh(void) {
    wedge1_out.len = wedge1_out.last = wedge1_out.failed = 0;
    return &wedge1_out;
}

WEDGE1_FN int64_t wedge1_result(int32_t verdict) {
    if (verdict < 0) return verdict;
    if (wedge1_out.failed) return WEDGE1_ERR_EXHAUSTED;
    if (wedge1_out.len == 0) return 0;
    return (int64_t)((uint64_t)(uintptr_t)wedge1_out.ptr << 32 | wedge1_out.len);
}

#define WEDGE1_HOOK(name, view, actions)                                                      \
    static inline int32_t wedge1_on_##name(const wedge1_##name *view, wedge1_actions *actions); \
    WEDGE1_EXPORT("wedge1_" #name) int64_t wedge1_call_##name(uint32_t len) {                  \
        (void)len;                                                                             \
        return wedge1_result(wedge1_on_##name((const wedge1_##name *)wedge1_in, wedge1_fresh())); \
    }                                                                                          \
    static inline int32_t wedge1_on_##name(const wedge1_##name *view, wedge1_actions *actions)

#define WEDGE1_REQUEST(view, actions) WEDGE1_HOOK(request, view, actions)
#define WEDGE1_RESPONSE(view, actions) WEDGE1_HOOK(response, view, actions)
#define WEDGE1_CHUNK(view, actions) WEDGE1_HOOK(chunk, view, actions)
#define WEDGE1_DONE(view, actions) WEDGE1_HOOK(done, view, actions)

#endif
