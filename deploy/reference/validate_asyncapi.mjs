// Reads an AsyncAPI document with the specification's own parser: its words one a line, exit 1 when one of them is an error.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [directory, file] = process.argv.slice(2);
const { Parser } = createRequire(`${directory}/`)("@asyncapi/parser");
const SEVERITIES = ["error", "warning", "information", "hint"];

const { document, diagnostics } = await new Parser().parse(readFileSync(file, "utf8"));
for (const told of diagnostics) {
  console.log(`${SEVERITIES[told.severity]} ${told.code} at ${told.path.join(".")}: ${told.message}`);
}
if (document === undefined || diagnostics.some((told) => told.severity === 0)) {
  process.exit(1);
}
const channels = document.channels().all().length;
const messages = document.components().messages().all().length;
console.log(`AsyncAPI ${document.version()}: ${channels} channels, ${messages} messages, no error`);
