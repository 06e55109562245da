// Writes golden.json: texts, and how many tokens OpenAI's own tiktoken counts in them (encode_ordinary of o200k_base).
//   cd "$(mktemp -d)" && npm install tiktoken@1.0.22 && node <here>/golden.mjs > <here>/golden.json
import { createRequire } from "node:module";

const { get_encoding } = createRequire(process.cwd() + "/")("tiktoken");
const o200k = get_encoding("o200k_base");
const golden = [];
const add = (name, text) => golden.push({ name, text, tokens: o200k.encode_ordinary(text).length });

const prose = {
  english:
    "All human beings are born free and equal in dignity and rights. They're endowed with reason and conscience, and " +
    "should act towards one another in a spirit of brotherhood — wouldn't you say so? \"It's HERS,\" they'd've said; " +
    "I'll go, we've gone, she'd come. The year was 1948, on December 10th; 48 nations voted, 0 against, 8 abstained.",
  german: "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen begabt und " +
    "sollen einander im Geiste der Brüderlichkeit begegnen. Donaudampfschifffahrtsgesellschaftskapitän.",
  french: "Tous les êtres humains naissent libres et égaux en dignité et en droits. L’été, c'est « l'œuvre » d’aujourd'hui !",
  spanish: "¿Todos los seres humanos nacen libres e iguales? ¡Sí! Dotados como están de razón y conciencia.",
  polish: "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw. Zażółć gęślą jaźń.",
  turkish: "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. İSTANBUL ışıl ışıl.",
  vietnamese: "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền lợi.",
  russian: "Все люди рождаются свободными и равными в своём достоинстве и правах. ОБЪЯВЛЕНИЕ: съешь же ещё этих булок.",
  ukrainian: "Всі люди народжуються вільними і рівними у своїй гідності та правах. Об'єднання, п’ять.",
  greek: "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα. ΣΊΣΥΦΟΣ",
  armenian: "Բոլոր մարդիկ ծնվում են ազատ ու հավասար՝ իրենց արժանապատվությամբ և իրավունքներով։",
  georgian: "ყველა ადამიანი იბადება თავისუფალი და თანასწორი თავისი ღირსებითა და უფლებებით. ᲡᲐᲥᲐᲠᲗᲕᲔᲚᲝ",
  hebrew: "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם. בְּרֵאשִׁית בָּרָא אֱלֹהִים",
  arabic: "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق. بِسْمِ اللَّهِ ١٢٣٤٥٦",
  persian: "تمام افراد بشر آزاد به دنیا می‌آیند و از لحاظ حیثیت و حقوق با هم برابرند. ۱۲۳۴",
  hindi: "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है। १२३४५",
  bengali: "সমস্ত মানুষ স্বাধীনভাবে সমান মর্যাদা এবং অধিকার নিয়ে জন্মগ্রহণ করে।",
  tamil: "மனிதப் பிறிவியினர் சகலரும் சுதந்திரமாகவே பிறக்கின்றனர்; அவர்கள் மதிப்பிலும் சமமானவர்கள்.",
  thai: "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิต่างมีเหตุผลและมโนธรรม ๑๒๓๔",
  burmese: "လူတိုင်းသည် တူညီ လွတ်လပ်သော ဂုဏ်သိက္ခာဖြင့် လည်းကောင်း။",
  khmer: "មនុស្សទាំងអស់កើតមកមានសេរីភាព និងសមភាព។",
  amharic: "የሰው ልጅ ሁሉ ሲወለድ ነጻና በክብርና በመብትም እኩልነት ያለው ነው።",
  chinese: "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相对待。2024年12月31日,共1,234元。",
  traditional: "人人生而自由,在尊嚴和權利上一律平等。他們賦有理性和良心,並應以兄弟關係的精神互相對待。",
  japanese: "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。ラーメンを食べる。ABC株式会社",
  korean: "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. 한국어ABC혼합",
  cherokee: "ᏂᎦᏓ ᎠᏂᏴᏫ ᏂᎨᎫᏓᎸᎾ ᎠᎴ ᎤᏂᏠᏱ ᎤᎾᏕᎿ ꮎꮝꭹ",
};
for (const [name, text] of Object.entries(prose)) {
  add(name, text);
  add(name + ", upper case", text.toUpperCase());
  add(name + ", decomposed", text.normalize("NFD"));
  add(name + ", without blanks", text.replaceAll(" ", ""));
}
add("all prose", Object.values(prose).join("\n\n"));

const code = {
  go: 'package main\n\nimport (\n\t"fmt"\n\t"os"\n)\n\n// HTTPServer serves.\nfunc (s *HTTPServer) ServeHTTP2(w io.Writer, n int) error {\n\tfor i := 0; i < n; i++ {\n\t\tif _, err := fmt.Fprintf(w, "%d: %v\\n", i, s.items[i]); err != nil {\n\t\t\treturn fmt.Errorf("cannot write %q: %w", s.name, err)\n\t\t}\n\t}\n\treturn nil\n}\n',
  python: 'def parse_args(argv=None):\n    """Parse the command line."""\n    p = argparse.ArgumentParser(description=__doc__)\n    p.add_argument("--max-tokens", type=int, default=1_000_000)\n    return {k: v for k, v in vars(p.parse_args(argv)).items() if v is not None}\n\n\nif __name__ == "__main__":\n    sys.exit(main())\n',
  javascript: 'const xs = await Promise.all(urls.map(async (u) => (await fetch(`${base}/${u}?q=${encodeURIComponent(q)}`)).json()));\nexport default class FooBar extends React.Component { render() { return <div className="a">{this.props.children ?? null}</div>; } }\n// eslint-disable-next-line\n/* ---------- */',
  c: '#include <stdio.h>\r\n#define MAX(a,b) ((a)>(b)?(a):(b))\r\nint main(int argc, char **argv)\r\n{\r\n\tuint64_t x = 0xDEADBEEFCAFEBABEull;\r\n\tprintf("%llu\\n", x >> 3);\r\n\treturn 0;\r\n}\r\n',
  sql: "SELECT u.id, COUNT(*) AS n FROM users u LEFT JOIN orders o ON o.user_id = u.id WHERE u.created_at >= '2024-01-01' GROUP BY 1 HAVING COUNT(*) > 10;",
  shell: "set -euo pipefail\nfor f in /var/log/*.log; do gzip -9 \"$f\" && mv -- \"$f.gz\" /backup/$(date +%Y-%m-%d)/ || echo \"can't $?\" >&2; done\n",
  html: '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Hi &amp; bye</title></head>\n<body onload=\'x()\'>\n\n\n  <p>…</p></body></html>',
  yaml: "services:\n  - name: web\n    image: \"nginx:1.27-alpine\"\n    ports: [80, 443]\n    env: {DEBUG: 'true'}\n",
  latex: "\\begin{equation}\\label{eq:1}\n  \\sum_{i=1}^{n} x_i^2 \\leq \\frac{\\pi^2}{6} \\cdot \\|x\\|_\\infty\n\\end{equation}",
  diff: "--- a/x.go\n+++ b/x.go\n@@ -1,3 +1,4 @@\n-\told := 1\n+\tnew := 2\n ////\n/*/\n",
  markdown: "# Title\n\n* **bold** _it_ `code` [link](https://example.com/a/b?c=d&e=f#g)\n\n| a | b |\n|---|:-:|\n| 1 | 2 |\n\n```go\nx := 1\n```\n",
};
for (const [name, text] of Object.entries(code)) add("code: " + name, text);

const data = { id: "chatcmpl-9f8e7d6c5b4a", created: 1731700000, model: "gpt-4o-mini", choices: [{ index: 0, delta: { role: "assistant", content: "Hello, \"world\"\n\t✓" }, finish_reason: null }],
  usage: { prompt_tokens: 1234, cost: 0.000123, big: 12345678901234567890n.toString(), none: null, yes: true }, tags: ["a", "b c", "d_e", "fGhI", "UPPER"], nested: { a: { b: { c: [[], {}, [1, 2.5, -3e10]] } } } };
add("json", JSON.stringify(data));
add("json, indented", JSON.stringify(data, null, 2));
add("json, tabs", JSON.stringify(data, null, "\t"));
add("json, ten", JSON.stringify(Array(10).fill(data)));

const emoji = "👍👍🏽👩‍👩‍👧‍👦🇩🇪🏴󠁧󠁢󠁥󠁮󠁧󠁿❤️☺️1️⃣🫠😀😃";
add("emoji", emoji);
add("emoji in text", `Nice ${emoji} work${emoji}!! ${emoji}\n${emoji}/`);
for (const s of ["<|endoftext|>", "a<|fim_prefix|>b", "", "'", "''", "'s", "x's", "X'S", "x'ſ", "x'ſt", "don'T've", "x're'lls", "'ll", "x'L", "x'Lx", "x'v", "x'r", "x'S's",
  "\u0301", "\u0301\u0301abc", "\u0301ABC", "a\u0301B'c", "!\u0301", "!!\u0301a", " \u0301", "ABC\u0301DEF", "ABC中DEF", "中ABC", "中A中'sA", "ǅabc", "ABǅ", "ʰABC", "ABʰc's", "²³¹½", "Ⅷ2٣४", "१२३४",
  "a\u00a0b", "a\u0085b", "a\u2028\u2029b", "a\u3000\u3000b", "a \u00a0 b", "\ufeffabc", "a\u200bb", "a\u200dB", "\ufffd\ufffdx", "\u0000\u0001\u001f\u007f", "\u{e0101}\u{e0101}a", "\u{f0000}\u{10ffff}", "𝒜𝓫𝟙𝟚", "𐐀𐐨", "𠀀𠀁𰀀", "//\n//\r\n/ /", "a\n/b", "!\n/\n!", " \n", "\n ", " \n \n  x", "\r\r\n\n", "\t\tx", " \tx", "\t x", "  x", "   ", "x   ", "x  \n  y", "\f\v x", " 1", "  12", "a1b22c333d4444", "1.5e-10", "$1,234,567.89", "ABCdefGHIjklMNO", "iPhoneXRMax", "camelCaseHTTPServer2Go", "snake_case_name", "__init__", "--flag=value", "a-b--c---d"]) add("edge", s);
for (const n of [1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 63, 64, 79, 80, 81, 95, 96, 97, 98, 127, 128, 129, 200, 511, 512, 513, 1000, 2047, 4095, 4096]) {
  for (const c of [" ", "\n", "\t", "a", "A", "=", "中", "7", "\u0301", "ab", "-_", "\r\n", " \n"]) if (n * Buffer.byteLength(c) <= 4096) add(`${JSON.stringify(c)} ${n} times`, c.repeat(n));
  if (n <= 512) add(`blanks ${n} in text`, "x" + " ".repeat(n) + "y\n" + " ".repeat(n) + "\nz");
}

let state = 20240513n; // a fixed sequence: this file writes the same golden.json every time
const random = (n) => Number((state = (state * 6364136223846793005n + 1442695040888963407n) & ((1n << 64n) - 1n)) >> 33n) % n;
const pick = (from) => from[random(from.length)];
const letters = [..."etaoinshrdlucmfwypvbgkqjxz"];
const pools = {
  letters, words: [...letters, ...letters, " ", " ", " ", "'", ".", "E", "T"], base64: [..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"], hex: [..."0123456789abcdef"],
  ascii: Array.from({ length: 128 }, (_, i) => String.fromCharCode(i)), bytes: Array.from({ length: 256 }, (_, i) => String.fromCharCode(i)),
  bounds: [..."aAbB sStT''\n\r\t  /!?.-12\u0301ʰ中ǅſ²Ⅷ\u00a0\u0085\u2028😀é"], cjk: Array.from({ length: 800 }, (_, i) => String.fromCharCode(0x4e00 + 7 * i)), hangul: Array.from({ length: 500 }, (_, i) => String.fromCharCode(0xac00 + 22 * i)),
  kana: Array.from({ length: 180 }, (_, i) => String.fromCharCode(0x3041 + i)), cyrillic: Array.from({ length: 96 }, (_, i) => String.fromCharCode(0x400 + i)), thai: Array.from({ length: 58 }, (_, i) => String.fromCharCode(0xe01 + i)),
  emoji: [...emoji], plane0: Array.from({ length: 0xd000 / 16 }, (_, i) => String.fromCharCode(16 * i + 5)), spaces: [..." \n\r\t\u00a0 x"],
};
for (const [name, pool] of Object.entries(pools)) {
  for (const n of [3, 7, 12, 20, 40, 90, 150, 300, 900]) for (let k = 0; k < (n < 50 ? 6 : 2); k++) add(`random ${name}`, Array.from({ length: n }, () => pick(pool)).join(""));
}
for (let k = 0; k < 60; k++) add("random mix", Array.from({ length: 60 }, () => pick(pick(Object.values(pools)))).join(""));

console.log("[\n" + golden.map((g) => JSON.stringify(g)).join(",\n") + "\n]");
