// The script of the sample site. It looks at what the browser asked your server
// for, and tells you in the page. The browser runs it after it has read the
// whole of index.html (that is the meaning of "defer" there).
'use strict';

const byId = (id) => document.getElementById(id);

// Makes an element, with text in it if there is some. The text is always put in
// as text, never as HTML: what came over the network is not to be trusted.
function make(name, text = '', className = '') {
  const element = document.createElement(name);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}

const plural = (count, word) =>
  `${count.toLocaleString('en')} ${word}${count === 1 ? '' : 's'}`;

const bytesOf = (text) => new TextEncoder().encode(text).length;

// ---- Did everything arrive? -----------------------------------------------

function check(id, isGood, sentence) {
  const item = byId(id);
  item.className = isGood ? 'good' : 'bad';
  item.querySelector('p').textContent = sentence;
}

// Waits until a picture has arrived, or has failed; says which.
function pictureArrives(img) {
  if (img.complete) return Promise.resolve(img.naturalWidth > 0);
  return new Promise((resolve) => {
    img.addEventListener('load', () => resolve(true));
    img.addEventListener('error', () => resolve(false));
  });
}

async function checkPictures() {
  const pictures = [...document.images];
  const arrived = await Promise.all(pictures.map(pictureArrives));
  const missing = pictures
    .filter((img, i) => !arrived[i])
    .map((img) => img.getAttribute('src'));
  if (missing.length === 0) {
    check('check-pictures', true,
      `All ${pictures.length} arrived whole: one SVG, one PNG and one JPEG.`);
  } else {
    check('check-pictures', false,
      `Not shown: ${missing.join(', ')}. Look at Content-Type and ` +
      'Content-Length, and open the file in binary mode.');
  }
}

// ---- What your browser asked for ------------------------------------------

// The browser keeps a note of each request of a page: the Performance API.
// It does not note the method; but the only POST of this page goes to /echo.
const echoUrl = new URL('../echo', location.href);
const sent = [];

// True if the browser sent no request at all, because it had kept a copy.
const isCopy = (entry) => entry.transferSize === 0 && entry.encodedBodySize > 0;

// True if less came than the body alone: the browser asked, and the server said
// 304 Not Modified, with no body. (The browser still notes the body of its copy.)
const isNotModified = (entry) =>
  entry.transferSize > 0 && entry.transferSize < entry.encodedBodySize;

const bodyBytes = (entry) => (isNotModified(entry) ? 0 : entry.encodedBodySize);

function describe(entry) {
  if (isCopy(entry)) return 'not asked for again: the browser kept a copy';
  if (isNotModified(entry)) return 'no body: the copy in the browser is still good';
  const parts = [`${plural(entry.encodedBodySize, 'byte')} of body`];
  if (entry.decodedBodySize > entry.encodedBodySize) {
    parts.push(`${plural(entry.decodedBodySize, 'byte')} when unpacked`);
  }
  parts.push(`${(entry.responseEnd - entry.startTime).toFixed(0)} ms`);
  return parts.join(' · ');
}

function showRequest(entry) {
  const url = new URL(entry.name);
  if (url.origin !== location.origin) return; // from a browser add-on, perhaps

  const method = url.pathname === echoUrl.pathname ? 'POST' : 'GET';
  const line = make('code');
  line.append(make('span', method, 'method'), ` ${url.pathname}${url.search}`);

  const result = make('span', '', 'result');
  if (entry.responseStatus && !isCopy(entry)) { // not every browser tells it
    const status = isNotModified(entry) ? 304 : entry.responseStatus;
    result.append(make('span', status, status < 400 ? 'status' : 'status bad'), ' · ');
  }
  result.append(describe(entry));

  const item = make('li');
  item.append(line, ' ', result);
  byId('request-list').append(item);

  if (!isCopy(entry)) sent.push(entry);
  const bytes = sent.reduce((sum, each) => sum + bodyBytes(each), 0);
  byId('request-sum').textContent =
    `${plural(sent.length, 'request')} up to now, ` +
    `${plural(bytes, 'byte')} of bodies in all.`;
}

function watchRequests() {
  byId('request-list').replaceChildren();
  performance.getEntriesByType('navigation').forEach(showRequest); // the page
  new PerformanceObserver((list) => list.getEntries().forEach(showRequest))
    .observe({ type: 'resource', buffered: true }); // what it needed since
}

// ---- Data, fetched by the script ------------------------------------------

async function showData() {
  const place = byId('data');
  try {
    // "no-cache": ask the server, even if there is a copy from last time.
    const response = await fetch('data.json', { cache: 'no-cache' });
    if (!response.ok) throw new Error(`the status was ${response.status}`);
    const type = response.headers.get('content-type') ?? 'missing';
    const data = await response.json();

    const table = make('table');
    table.append(make('caption', data.title));
    for (const { status, meaning } of data.classes) {
      const row = table.insertRow();
      const head = make('th', status);
      head.scope = 'row';
      row.append(head, make('td', meaning));
    }
    const note = make('p', data.note);
    const when = new Date().toLocaleTimeString();
    const source = make('p', `Fetched at ${when}. Content-Type: ${type}`, 'quiet');
    place.replaceChildren(table, note, source);

    if (type.startsWith('application/json')) {
      check('check-data', true, 'data.json arrived, and it is proper JSON.');
    } else {
      check('check-data', false, 'data.json arrived, but the Content-Type is ' +
        `${type}. It should be application/json.`);
    }
  } catch (error) {
    place.replaceChildren(make('p', `data.json could not be used: ${error.message}.`));
    check('check-data', false, 'data.json could not be used. See below.');
  }
}

// ---- Send some bytes the other way ----------------------------------------

function countText() {
  const text = byId('echo-text').value;
  byId('echo-count').textContent =
    `${plural([...text].length, 'character')}, ${plural(bytesOf(text), 'byte')} in ` +
    'UTF-8. Content-Length counts the bytes.';
}

function whyNot(status) {
  if ([404, 405, 501].includes(status)) {
    return 'It does not take a POST to /echo yet, and it said so politely: ' +
      'that is good HTTP.';
  }
  return 'It seems that it does not take a POST to /echo yet.';
}

async function sendText(event) {
  event.preventDefault(); // the script sends it, so the page can stay
  const place = byId('echo-answer');
  const text = byId('echo-text').value;
  place.replaceChildren(make('p', 'Sending…'));

  try {
    const response = await fetch(echoUrl, { method: 'POST', body: text });
    const answer = await response.text();
    const status = `${response.status} ${response.statusText}`.trim();
    if (response.ok) {
      const sentence = answer === text
        ? 'The same text came back:'
        : 'This is not quite the text you sent:';
      place.replaceChildren(
        make('p', `Your server answered ${status}. ${sentence}`),
        make('pre', answer));
    } else {
      place.replaceChildren(
        make('p', `Your server answered ${status}. ${whyNot(response.status)}`),
        make('p', 'A later stage adds this. Come back then and try again.'));
    }
  } catch (error) {
    place.replaceChildren(
      make('p', 'No whole response came back. If your server does not know POST ' +
        'yet, that can happen: it may have closed the connection early.'),
      make('p', 'A later stage adds this. Come back then and try again.'));
  }
}

// ---- Start ----------------------------------------------------------------

check('check-script', true, 'It arrived and it runs: it wrote this sentence.');
watchRequests();
checkPictures();
showData();
countText();
byId('fetch-again').addEventListener('click', showData);
byId('echo-text').addEventListener('input', countText);
byId('echo-form').addEventListener('submit', sendText);
