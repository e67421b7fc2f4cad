"""The pages: a shell, what stands still, two languages, and what makes a page of one file.

Law: a page shows what operations answer and has no other way to data; a text that is not ours never becomes
markup; nothing in a page is script or style, so that its policy can forbid both.
"""
