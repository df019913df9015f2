// A server in another language, on Node's own http module: a fixture of the tester's own tests.
//
// Node reads and writes the messages; this file chooses the answers. It keeps every requirement of
// stage 18, and those edge cases that Node's parser keeps.

"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const { pipeline } = require("node:stream/promises");
const zlib = require("node:zlib");

const idle = Number(process.env.IDLE_TIMEOUT || 5) * 1000;
const flag = process.argv.indexOf("--directory");
const folder = path.resolve(flag > 0 ? process.argv[flag + 1] : "public");
const root = fs.existsSync(folder) ? fs.realpathSync(folder) : folder;
const limit = 100 * 1024 * 1024;
const text = "text/plain; charset=utf-8";
const binary = "application/octet-stream";
const types = {
  ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8", ".json": "application/json", ".txt": text,
  ".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg", ".pdf": "application/pdf",
};
const pages = new Map(Object.entries({
  "/": "<title>Hello World!</title>", "/about": "<title>Node</title>", "/blog": "<title>Log</title>",
}));

const REQUEST_LINE = /^[\w!#$%&'*+.^`|~-]+ [!-~]+ HTTP\/1\.[0-9]\r\n/;
const turns = new WeakMap();

class Refusal extends Error {
  constructor(status, fields = {}) {
    super(http.STATUS_CODES[status]);
    Object.assign(this, { status, fields });
  }
}

/** "/a%20b" -> bytes; a broken escape stays as it is. */
function decode(raw) {
  const escaped = raw.replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  return Buffer.from(escaped, "latin1");
}

/** Send `body`, compressed if that is wanted; the end of it is told by its length. */
async function answer(request, response, status, type, body, fields = {}) {
  const packs = /^text|json|svg/.test(type);
  if (packs) response.setHeader("Vary", "Accept-Encoding");
  if (packs && body.length && acceptsGzip(request.headers["accept-encoding"] || "")) {
    body = zlib.gzipSync(body);
    fields = { ...fields, "Content-Encoding": "gzip" };
  }
  response.writeHead(status, { ...fields, "Content-Type": type, "Content-Length": body.length });
  response.end(body);
}

function acceptsGzip(value) {
  const weights = new Map(value.toLowerCase().split(",").map((member) => {
    const [name, weight] = member.split(";").map((part) => part.trim());
    return [name, weight ? Number(weight.replace(/^q=/, "")) : 1];
  }));
  const gzip = weights.get("gzip") ?? weights.get("*") ?? 0;
  return gzip > 0 && gzip >= (weights.get("identity") ?? 0);
}

/** The real path of a file under the root. */
function locate(name) {
  const asked = name.toString();
  const odd = asked.split("/").some((part) => ["", ".", ".."].includes(part));
  if (odd || asked.includes("\0") || asked.endsWith("\\")) throw new Refusal(404);
  let place = path.resolve(root, asked.replace(/\\/g, "/").replace(/^\/+/, "./"));
  try {
    place = fs.realpathSync(place);
  } catch {
    place = path.join(realFolder(path.dirname(place)), path.basename(place));
  }
  if (!place.startsWith(root + path.sep) || asked.split(/[/\\]/).includes("..")) throw new Refusal(403);
  return place;
}

function realFolder(folder) {
  try {
    return fs.realpathSync(folder);
  } catch {
    throw new Refusal(404);
  }
}

async function showFile(request, response, name) {
  const place = locate(name);
  const status = fs.statSync(place, { throwIfNoEntry: false });
  if (!status?.isFile()) throw new Refusal(404);
  const type = types[path.extname(place).toLowerCase()] || binary;
  if (/^text|json|svg/.test(type)) {
    return answer(request, response, 200, type, await fs.promises.readFile(place));
  }
  response.writeHead(200, { "Content-Type": type, "Content-Length": status.size });
  if (request.method === "HEAD") return response.end();
  return pipeline(fs.createReadStream(place), response);
}

/** Write the body into a new file, and return its path. */
async function receive(request, folder) {
  const upload = path.join(folder, `.${crypto.randomUUID()}`);
  const file = fs.createWriteStream(upload);
  let size = 0;
  try {
    await pipeline(request, async function* (pieces) {
      for await (const piece of pieces) {
        size += piece.length;
        if (size > limit) throw new Refusal(413);
        yield piece;
      }
    }, file);
  } catch (error) {
    // It may still be on its way to being opened: removed before that, it would come back.
    if (!file.closed) await new Promise((closed) => file.once("close", closed));
    fs.rmSync(upload, { force: true });
    throw error;
  }
  return upload;
}

async function storeFile(request, response, name) {
  const place = locate(name);
  if (fs.statSync(place, { throwIfNoEntry: false })?.isDirectory()) throw new Refusal(409);
  if (Buffer.byteLength(path.basename(place)) > 255) throw new Refusal(404);
  fs.renameSync(await receive(request, path.dirname(place)), place);
  await answer(request, response, 201, text, Buffer.from("stored\n"));
}

async function echoBody(request, response) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  await answer(request, response, 200, binary, Buffer.concat(pieces));
}

async function tick(request, response) {
  response.writeHead(200, { "Content-Type": text });
  for (let number = 1; number <= 5 && request.method !== "HEAD"; number += 1) {
    response.write(`tick ${number}\n`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  response.end();
}

/** What can be done with a path, by methods. */
function findRoutes(target, query) {
  const name = decode(target);
  const say = (body, type = text) => (request, response) =>
    answer(request, response, 200, type, Buffer.from(body));
  let show;
  if (pages.has(target)) show = say(pages.get(target), types[".html"]);
  else if (target.startsWith("/files/")) {
    const file = name.subarray("/files/".length);
    show = (request, response) => showFile(request, response, file);
    return { GET: show, HEAD: show, POST: (request, response) => storeFile(request, response, file) };
  } else if (target.startsWith("/echo/")) show = say(name.subarray("/echo/".length));
  else if (target === "/echo") return { POST: echoBody };
  else if (target === "/stream") show = tick;
  else if (target === "/user-agent") {
    show = (request, response) =>
      say(Buffer.from(request.headers["user-agent"] || "", "latin1"))(request, response);
  } else if (target === "/search") {
    show = say([...new URLSearchParams(query)].map((pair) => `${pair.join(": ")}\n`).join(""));
  }
  return show ? { GET: show, HEAD: show } : {};
}

/** Refuse what Node's parser lets pass. */
function checkHead(request) {
  const names = request.rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase());
  const hosts = names.filter((name) => name === "host").length;
  const host = /^(\[[0-9a-f:.]+\]|[\w.~!$&'()*+;=%-]*)(:[0-9]*)?$/i.test(request.headers.host || "");
  const target = /^(\/[!-~]*|https?:\/\/[^/?@]+([/?][!-~]*)?)$/i.test(request.url);
  const star = request.method === "OPTIONS" && request.url === "*";
  const version = request.httpVersionMajor === 1;
  if (!version || !(target || star) || !host || hosts > 1) {
    throw new Refusal(400, { Connection: "close" });
  }
}

async function serve(request, response) {
  response.setHeader("Server", "node");
  response.setHeader("X-Content-Type-Options", "nosniff");
  checkHead(request);
  const whole = request.url.replace(/^https?:\/\/[^/?]+/i, "") || "/";
  const [, target, query] = /^([^?]*)\??(.*)$/s.exec(whole.startsWith("?") ? `/${whole}` : whole);
  if (request.headers["content-length"] > limit) throw new Refusal(413, { Connection: "close" });
  const routes = findRoutes(target, query);
  const methods = target === "*" ? ["GET", "HEAD", "POST"] : Object.keys(routes);
  const Allow = [...methods, "OPTIONS"].join(", ");
  if (!methods.length) throw new Refusal(404);
  if (request.method === "OPTIONS") return answer(request, response, 200, text, Buffer.from(""), { Allow });
  if (!routes[request.method]) throw new Refusal(405, { Allow });
  return routes[request.method](request, response);
}

async function refuse(request, response, error) {
  const noFile = ["ENOTDIR", "ENAMETOOLONG", "ENOENT", "EACCES"].includes(error.code);
  const { status = noFile ? 404 : 500, fields = {} } = error;
  if (error.code === "ECONNRESET") return undefined;
  if (status === 500) console.error(error);
  if (response.headersSent || request.errored) return request.destroy();
  return answer(request, response, status, text, Buffer.from(`${error.message}\n`), fields);
}

/** Answer what is no request: Node's own answer lacks the fields that every answer has. */
function answerMalformed(error, socket) {
  if (!socket.writable || error.code === "ECONNRESET") return socket.destroy();
  if (error.code === "HPE_CLOSED_CONNECTION") return undefined; // The last answer is on its way.
  const packet = (error.rawPacket || "").toString("latin1");
  const line = packet.slice(packet.lastIndexOf("\n", error.bytesParsed) + 1);
  const unknown = REQUEST_LINE.test(line);
  const statuses = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 };
  const status = statuses[error.code] || (error.code === "HPE_INVALID_METHOD" && unknown ? 501 : 400);
  const body = `${http.STATUS_CODES[status]}\n`;
  return inTurn(socket, null, () => socket.end([
    `HTTP/1.1 ${status} ${http.STATUS_CODES[status]}`, `Date: ${new Date().toUTCString()}`,
    "Server: node", "Connection: close", `Content-Type: ${text}`, "X-Content-Type-Options: nosniff",
    "Vary: Accept-Encoding", `Content-Length: ${body.length}`, "", body,
  ].join("\r\n")));
}

/** Do `work` when all is done that was asked for before, but for a request that has no end. */
function inTurn(socket, request, work) {
  const last = turns.get(socket) || { done: Promise.resolve() };
  const before = !last.request || last.request.complete ? last.done : last.before;
  turns.set(socket, { before, request, done: before.then(work).catch(console.error) });
}

const server = http.createServer({
  connectionsCheckingInterval: 100, headersTimeout: idle, keepAliveTimeout: idle,
  requestTimeout: 60 * idle, maxHeaderSize: 64 * 1024,
});
server.on("request", (request, response) => {
  console.log(request.method, request.url);
  inTurn(request.socket, request, () =>
    serve(request, response).catch((error) => refuse(request, response, error)));
});
server.on("clientError", answerMalformed);
server.setTimeout(idle, (socket) => socket.destroy());
server.listen(Number(process.env.PORT || 4221), "127.0.0.1");
