"""A phone network on one machine: it speaks Twilio's REST API, signs its callbacks, and its phones can be read and answered.

`python -m deploy.local.phone --port P --account-sid SID --auth-token-file F` starts it; `GET /_phone` shows the phones.
"""
