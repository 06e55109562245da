/* Keeps e-mail addresses, phone numbers and card numbers from the provider: the prompt gets placeholders such as
 * [EMAIL_1], and the answer gets the originals back, also where a placeholder is split over two chunks.
 *
 * What stands for what travels with the request as its state, or, where it takes more than that holds, in a key-value:
 *   state: u8 where the map is, u8 length of carry, carry, the map if it is in the state
 *   map:   n × (u8 kind, u8 length, text), numbered per kind in this order
 * The carry is the end of a chunk that may be the beginning of a placeholder; it is held back for the next one. */
#define WEDGE1_CAPS (WEDGE1_CAP_BODY | WEDGE1_CAP_CHUNK | WEDGE1_CAP_RESPONSE)
#include "wedge1.h"

enum { EMAIL, PHONE, CARD, KINDS };
enum { IN_STATE, IN_KV };
enum {
    MAX_PATCHES = 256,
    MAX_NUMBER = 99,  /* of one kind: two digits */
    MAX_TEXT = 254,   /* bytes of what is replaced */
    MAX_CARRY = 9,    /* "[EMAIL_99" */
    MAX_STATE = 256,
    MAX_CHUNK = 8192,
    MAX_MAP = 4096,   /* what a key-value holds */
    KEEP_S = 3600     /* how long an answer may take */
};

static const struct {
    const char *text;
    uint32_t len;
} heads[KINDS] = {{"[EMAIL_", 7}, {"[PHONE_", 7}, {"[CARD_", 6}};

static uint8_t map[MAX_MAP];
static uint32_t map_len;
static wedge1_patch found[MAX_PATCHES];
static uint32_t found_count;
static uint8_t names[MAX_PATCHES][12];

/* ---- what is to be found ---- */

static int digit(uint8_t c) { return c >= '0' && c <= '9'; }
static int letter(uint8_t c) { return wedge1_lower(c) >= 'a' && wedge1_lower(c) <= 'z'; }
static int word(uint8_t c) { return digit(c) || letter(c); }
static int local(uint8_t c) { return word(c) || c == '.' || c == '_' || c == '%' || c == '+' || c == '-'; }

/* The end of the domain behind the @ at `at`, or 0 if there is none. */
static uint32_t domain(wedge1_str s, uint32_t at) {
    uint32_t end = at + 1, dot = 0;
    while (end < s.len && (word(s.ptr[end]) || s.ptr[end] == '.' || s.ptr[end] == '-')) end++;
    while (end > at + 1 && !word(s.ptr[end - 1])) end--;
    for (uint32_t i = at + 2; i < end; i++)
        if (s.ptr[i] == '.') dot = i;
    if (!dot || end - dot < 3) return 0;
    for (uint32_t i = dot + 1; i < end; i++)
        if (!letter(s.ptr[i])) return 0;
    return end;
}

/* The end of a phone number: + and 8 to 15 digits, at most two of " -.()" between two of them. */
static uint32_t phone(wedge1_str s, uint32_t at) {
    uint32_t digits = 0, gap = 0, end = 0;
    for (uint32_t i = at + 1; i < s.len && gap <= 2; i++) {
        uint8_t c = s.ptr[i];
        if (digit(c)) {
            digits++;
            gap = 0;
            end = i + 1;
        } else if (digits && (c == ' ' || c == '-' || c == '.' || c == '(' || c == ')')) {
            gap++;
        } else {
            break;
        }
    }
    if (digits < 8 || digits > 15 || (end < s.len && word(s.ptr[end]))) return 0;
    return end;
}

/* The end of a card number: 13 to 19 digits with single spaces or hyphens, whose check digit is right. */
static uint32_t card(wedge1_str s, uint32_t at) {
    uint8_t digits[20];
    uint32_t n = 0, end = at;
    for (uint32_t i = at; i < s.len && n < 20; i++) {
        uint8_t c = s.ptr[i];
        if (digit(c)) {
            digits[n++] = c - '0';
            end = i + 1;
        } else if (!(c == ' ' || c == '-') || end != i) {
            break;
        }
    }
    if (n < 13 || n > 19 || (end < s.len && word(s.ptr[end]))) return 0;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t d = digits[n - 1 - i];
        if (i % 2) d = d * 2 > 9 ? d * 2 - 9 : d * 2;
        sum += d;
    }
    return sum % 10 == 0 ? end : 0;
}

/* ---- the map ---- */

/* Passes over the entry at `at`. Returns where it ends, or 0 at the end of the map. */
static uint32_t entry(wedge1_str m, uint32_t at, uint32_t *kind, wedge1_str *text) {
    if (at + 2 > m.len || at + 2 + m.ptr[at + 1] > m.len) return 0;
    *kind = m.ptr[at];
    *text = wedge1_cut(m, at + 2, at + 2 + m.ptr[at + 1]);
    return at + 2 + m.ptr[at + 1];
}

/* The number of a text among its kind, which is added if it is new; 0 if there is no room. */
static uint32_t number_of(uint32_t kind, wedge1_str text) {
    uint32_t n = 0, k;
    wedge1_str known;
    for (uint32_t at = 0, next; (next = entry(wedge1_text(map, map_len), at, &k, &known)); at = next) {
        if (k != kind) continue;
        n++;
        if (wedge1_eq(known, text)) return n;
    }
    if (n == MAX_NUMBER || map_len + 2 + text.len > MAX_MAP) return 0;
    map[map_len] = (uint8_t)kind;
    map[map_len + 1] = (uint8_t)text.len;
    wedge1_copy(map + map_len + 2, text.ptr, text.len);
    map_len += 2 + text.len;
    return n + 1;
}

/* The text that a kind's number stands for; ptr NULL if none. */
static wedge1_str text_of(wedge1_str m, uint32_t kind, uint32_t number) {
    uint32_t k;
    wedge1_str text;
    for (uint32_t at = 0, next; (next = entry(m, at, &k, &text)); at = next)
        if (k == kind && --number == 0) return text;
    return wedge1_text(0, 0);
}

static int add(uint32_t kind, wedge1_str body, uint32_t from, uint32_t to) {
    uint32_t number = number_of(kind, wedge1_cut(body, from, to));
    if (!number || found_count == MAX_PATCHES) return 0;
    uint8_t *name = names[found_count];
    uint32_t n = heads[kind].len;
    wedge1_copy(name, (const uint8_t *)heads[kind].text, n);
    if (number > 9) name[n++] = (uint8_t)('0' + number / 10);
    name[n++] = (uint8_t)('0' + number % 10);
    name[n++] = ']';
    wedge1_patch *p = &found[found_count++];
    p->offset = from;
    p->remove = to - from;
    p->insert = wedge1_text(name, n);
    return 1;
}

/* Finds what is in the strings of a JSON document; 0 if it is too much. */
static int scan(wedge1_str body) {
    int quoted = 0;
    uint32_t run = 0; /* where the characters that may be an address's local part begin */
    uint8_t before = 0;
    for (uint32_t i = 0; i < body.len;) {
        uint8_t c = body.ptr[i];
        uint32_t from = i, end = 0, kind = CARD;
        if (c == '"' || !quoted) {
            quoted ^= c == '"';
        } else if (c == '\\') { /* an escape parts words */
            i += i + 1 < body.len && body.ptr[i + 1] == 'u' ? 6 : 2;
            run = i;
            before = 0;
            continue;
        } else if (c == '@' && run < i) {
            end = domain(body, i);
            from = run;
            kind = EMAIL;
        } else if (c == '+' && !word(before) && before != '+') {
            end = phone(body, i);
            kind = PHONE;
        } else if (digit(c) && !word(before)) {
            end = card(body, i);
        }
        if (end && end - from <= MAX_TEXT) {
            if (!add(kind, body, from, end)) return 0;
            i = run = end;
            before = 0;
            continue;
        }
        i++;
        if (!local(c)) run = i;
        before = c;
    }
    return 1;
}

/* ---- the state ---- */

static wedge1_str kv_key(uint64_t id) {
    static uint8_t key[18] = "m:";
    for (uint32_t i = 0; i < 16; i++) key[2 + i] = (uint8_t) "0123456789abcdef"[id >> (60 - 4 * i) & 15];
    return wedge1_text(key, 18);
}

static void leave(wedge1_actions *actions, uint32_t where, wedge1_str carry, wedge1_str m) {
    uint8_t head[2] = {(uint8_t)where, (uint8_t)carry.len};
    wedge1_begin(actions, WEDGE1_TAG_STATE);
    wedge1_put(actions, wedge1_text(head, 2));
    wedge1_put(actions, carry);
    if (where == IN_STATE) wedge1_put(actions, m);
    wedge1_end(actions);
}

WEDGE1_REQUEST(request, actions) {
    map_len = found_count = 0;
    if (!scan(wedge1_of(request, request->body))) return WEDGE1_ERR_EXHAUSTED;
    if (!found_count) return 0;
    wedge1_patches(actions, found, found_count);
    wedge1_str m = wedge1_text(map, map_len);
    uint32_t where = 2 + MAX_CARRY + map_len > MAX_STATE ? IN_KV : IN_STATE;
    if (where == IN_KV) wedge1_kv_put(actions, kv_key(request->id), m, KEEP_S);
    leave(actions, where, wedge1_text(0, 0), m);
    return 0;
}

/* ---- the answer ---- */

/* The length of the placeholder that s begins with, 0 if there is none, -1 if s may be the beginning of one. */
static int32_t placeholder(wedge1_str s, uint32_t *kind, uint32_t *number) {
    for (uint32_t k = 0; k < KINDS; k++) {
        wedge1_str head = wedge1_text(heads[k].text, heads[k].len);
        if (s.len <= head.len && wedge1_starts(head, s)) return -1;
        if (!wedge1_starts(s, head)) continue;
        uint32_t i = head.len, n = 0;
        while (i < s.len && i < head.len + 2 && digit(s.ptr[i])) n = n * 10 + (s.ptr[i++] - '0');
        if (i == s.len) return -1;
        if (s.ptr[i] != ']') return 0;
        *kind = k;
        *number = n;
        return (int32_t)i + 1;
    }
    return 0;
}

/* Writes a text with the originals in place of placeholders. Returns how many bytes at its end it left out because
 * they may begin a placeholder, which it does only with hold. */
static uint32_t restore(wedge1_actions *actions, wedge1_str s, wedge1_str m, int hold, int *changed) {
    uint32_t done = 0;
    for (uint32_t i = 0; i < s.len;) {
        uint32_t kind = 0, number = 0;
        int32_t n = s.ptr[i] == '[' ? placeholder(wedge1_cut(s, i, s.len), &kind, &number) : 0;
        if (n < 0 && hold) {
            wedge1_put(actions, wedge1_cut(s, done, i));
            return s.len - i;
        }
        wedge1_str original = n > 0 && number ? text_of(m, kind, number) : wedge1_text(0, 0);
        if (!original.ptr) {
            i++;
            continue;
        }
        wedge1_put(actions, wedge1_cut(s, done, i));
        wedge1_put(actions, original);
        i += (uint32_t)n;
        done = i;
        *changed = 1;
    }
    wedge1_put(actions, wedge1_cut(s, done, s.len));
    return 0;
}

/* The map that a state names; ptr NULL if there is none. */
static wedge1_str map_of(wedge1_str state, uint64_t id) {
    if (state.len < 2 || state.len < 2u + state.ptr[1]) return wedge1_text(0, 0);
    if (state.ptr[0] == IN_STATE) return wedge1_cut(state, 2 + state.ptr[1], state.len);
    wedge1_str key = kv_key(id);
    int32_t n = wedge1_kv_read(key.ptr, key.len, map, MAX_MAP);
    return n < 0 || n > MAX_MAP ? wedge1_text(0, 0) : wedge1_text(map, (uint32_t)n);
}

WEDGE1_RESPONSE(response, actions) {
    wedge1_str m = map_of(wedge1_of(response, response->state), response->id);
    if (!m.ptr) return 0;
    int changed = 0;
    wedge1_begin(actions, WEDGE1_TAG_TEXT);
    restore(actions, wedge1_of(response, response->text), m, 0, &changed);
    if (changed) wedge1_end(actions);
    else wedge1_undo(actions);
    return 0;
}

static uint8_t joined[MAX_CARRY + MAX_CHUNK];

WEDGE1_CHUNK(chunk, actions) {
    wedge1_str state = wedge1_of(chunk, chunk->state), text = wedge1_of(chunk, chunk->text);
    wedge1_str m = map_of(state, chunk->id);
    if (!m.ptr) return 0;
    wedge1_str carry = wedge1_cut(state, 2, 2u + state.ptr[1]);
    int changed = carry.len > 0;
    if (changed) {
        if (text.len > MAX_CHUNK) return WEDGE1_ERR_EXHAUSTED;
        wedge1_copy(joined, carry.ptr, carry.len);
        wedge1_copy(joined + carry.len, text.ptr, text.len);
        text = wedge1_text(joined, carry.len + text.len);
    }
    wedge1_begin(actions, WEDGE1_TAG_TEXT);
    uint32_t payload = actions->len;
    uint32_t held = restore(actions, text, m, !(chunk->flags & WEDGE1_LAST), &changed);
    int empty = actions->len == payload;
    if (empty || (!changed && !held)) wedge1_undo(actions);
    else wedge1_end(actions);
    if (empty && held) wedge1_drop(actions);
    if (held || carry.len) leave(actions, state.ptr[0], wedge1_cut(text, text.len - held, text.len), m);
    return 0;
}
