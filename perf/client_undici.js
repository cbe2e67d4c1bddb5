// undici as perf/client measures it: the same work as client_load.c by its Pool, or by fetch.
//
//     node client_undici.js pool|fetch URL CONNECTIONS
//
// The Pool is the package undici (in NODE_PATH, where a distribution has it); fetch is node's own.
'use strict';
const readline = require('node:readline');
const [way, url, connections] = process.argv.slice(2);
const { origin, pathname } = new URL(url);

async function byPool(pool) {
    const { statusCode, body } = await pool.request({ path: pathname, method: 'GET' });
    return statusCode === 200 ? body.text() : '';
}

async function byFetch() {
    const response = await fetch(url);
    return response.status === 200 ? response.text() : '';
}

const pool = way === 'pool'
    ? new (require('undici').Pool)(origin, { connections: Number(connections) }) : null;
let left = 0;

async function lane() {
    while (left > 0) {
        left--;
        const text = pool ? await byPool(pool) : await byFetch();
        if (text.length !== 13)
            throw new Error('another answer came');
    }
}

async function main() {
    for await (const line of readline.createInterface({ input: process.stdin })) {
        const cpu = process.cpuUsage(), wall = process.hrtime.bigint();
        left = Number(line);
        await Promise.all(Array.from({ length: Number(connections) }, lane));
        const spent = process.cpuUsage(cpu), took = process.hrtime.bigint() - wall;
        console.log(`${Number(line)} ${(spent.user + spent.system) * 1000} ${took}`);
    }
}

main().catch((error) => {
    console.error(`client_undici: ${error.message}`);
    process.exit(1);
});
