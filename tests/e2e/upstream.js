// A server of node's on listening sockets that it inherits: upstream.js FD [TLS_FD CERT KEY].
// POST is echoed as it comes; GET /N is answered with N bytes.
'use strict';

const fs = require('fs');
const http = require('http');
const https = require('https');

const [plain, secure, cert, key] = process.argv.slice(2);

function answer(req, res) {
    if (req.method === 'POST') {
        req.pipe(res);
        return;
    }
    res.end(Buffer.alloc(Number(req.url.slice(1)), 'n'));
}

// For longer than any client rests, also where the machine holds it up: node's own is 5 s.
const patience = { keepAliveTimeout: 300_000 };

http.createServer(patience, answer).listen({ fd: Number(plain) });
if (secure) {
    const options = { ...patience, cert: fs.readFileSync(cert), key: fs.readFileSync(key) };
    https.createServer(options, answer).listen({ fd: Number(secure) });
}
