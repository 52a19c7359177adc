"""Pure HTTP: headers or bytes in, frozen values out. No Django, no asyncio, no input or output."""
