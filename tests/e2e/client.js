// node's HTTP clients against httpshard: 300 requests, 4 at a time. Prints what it saw as JSON.
// Usage: node client.js PORT keep|close|fetch
'use strict';
const http = require('http');

const port = Number(process.argv[2]);
const mode = process.argv[3];
const total = 300;
const sockets = new Set();
const agent = mode === 'keep' && new http.Agent({ keepAlive: true, maxSockets: 4 });

// Every third request posts a body that must come back, the others get the plain text.
function body(number) {
    return number % 3 === 0 ? 'number ' + number : null;
}

function byHttp(number) {
    return new Promise((resolve, reject) => {
        const sent = body(number);
        const path = sent ? '/echo' : '/plaintext';
        const request = http.request({ port, host: '127.0.0.1', agent, path,
                                       method: sent ? 'POST' : 'GET' }, (response) => {
            let text = '';
            response.on('data', (part) => { text += part; });
            response.on('end', () => resolve({ status: response.statusCode, text }));
            response.on('error', reject);
        });
        request.on('socket', (socket) => sockets.add(socket));
        request.on('error', reject);
        request.end(sent || undefined);
    });
}

async function byFetch(number) {
    const sent = body(number);
    const options = sent ? { method: 'POST', body: sent } : {};
    const url = `http://127.0.0.1:${port}${sent ? '/echo' : '/plaintext'}`;
    for (;;) {
        try {
            const response = await fetch(url, options);
            return { status: response.status, text: await response.text() };
        } catch (error) {
            // Its ten seconds cannot be set; they pass where the machine holds this process up.
            if (!error.cause || error.cause.code !== 'UND_ERR_CONNECT_TIMEOUT')
                throw error;
        }
    }
}

async function main() {
    let next = 0;
    let answers = 0;
    let wrong = 0;
    const worker = async () => {
        while (next < total) {
            const number = next++;
            const got = await (mode === 'fetch' ? byFetch(number) : byHttp(number));
            answers++;
            if (got.status !== 200 || got.text !== (body(number) || 'Hello, World!'))
                wrong++;
        }
    };
    await Promise.all([worker(), worker(), worker(), worker()]);
    if (agent)
        agent.destroy();
    console.log(JSON.stringify({ answers, wrong, sockets: sockets.size }));
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
