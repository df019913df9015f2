// Asks a server for several things through one agent, and prints what came, as JSON: for each
// request the local port of its socket, whether the socket was used before, status and body.
// Usage: node keep_alive.js http://127.0.0.1:4221
'use strict';

const http = require('node:http');

const base = process.argv[2];
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function ask(method, path, pieces = []) {
  return new Promise((resolve, reject) => {
    const request = http.request(base + path, { method, agent }, (response) => {
      const { localPort } = response.socket;
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text) => { body += text; });
      response.on('end', () => resolve({
        port: localPort, reused: request.reusedSocket, status: response.statusCode, body,
      }));
      response.on('error', reject);
    });
    request.on('error', reject);
    pieces.forEach((piece) => request.write(piece)); // without a length: in chunks
    request.end();
  });
}

async function main() {
  const answers = [
    await ask('GET', '/echo/first'),
    await ask('HEAD', '/echo/second'),
    await ask('POST', '/echo', ['in ', 'three ', 'chunks']),
    await ask('GET', '/no-such-page'),
    await ask('GET', '/stream'),
    await ask('POST', '/echo'),
    await ask('GET', '/echo/last'),
  ];
  agent.destroy();
  console.log(JSON.stringify(answers));
}

main();
