"""Uploads, lists and downloads with aioftp: PORT CERTIFICATE VERSION USER PASSWORD"""

import asyncio
import ssl
import sys

import aioftp

port, certificate, version, user, password = sys.argv[1:]

context = ssl.create_default_context(cafile=certificate)
context.minimum_version = context.maximum_version = {
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}[version]


async def session():
    client = aioftp.Client()
    await client.connect("127.0.0.1", int(port))
    await client.upgrade_to_tls(context)
    await client.login(user, password)
    for length in (0, 1, 300_000):
        name = f"file{length}"
        content = b"x" * length
        async with client.upload_stream(name) as stream:
            await stream.write(content)
        names = [str(path) async for path, _ in client.list()]
        assert name in names, names
        async with client.download_stream(name) as stream:
            assert await stream.read() == content
    await client.quit()


asyncio.run(asyncio.wait_for(session(), 60))
