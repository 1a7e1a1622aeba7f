"""The pages of the service: HTML for people, from the same snapshot and the same documents as the JSON.

`router` has the addresses, `model` and `whole` turn documents into what templates show, `html` renders. Everything
works without JavaScript; nothing is loaded from elsewhere. Needs the extra `serve`.
"""
