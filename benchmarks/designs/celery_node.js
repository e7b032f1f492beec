// Node's own HTTP server with celery-node, which polls for each result.
"use strict";

const http = require("http");
const celery = require("celery-node");

// Milliseconds. Requests a second at 100 connections differ little, since the worker is the limit. With a worker that
// keeps its connection to Redis: 765, with 5 ms 720, with 20 ms 745, with 50 ms 730.
const INTERVAL = 10;

const client = celery.createClient(process.env.BROKER_URL, process.env.RESULT_BACKEND);
const test = client.createTask("test"); // in protocol 2, the library's default

function relay(body, response) {
    test.delay(body)
        .get(undefined, INTERVAL)
        .then((result) => response.end(result), (error) => response.writeHead(500).end(String(error)));
}

const server = http.createServer((request, response) => {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => relay(Buffer.concat(pieces).toString(), response));
});
server.listen(Number(process.env.PORT), "127.0.0.1");
