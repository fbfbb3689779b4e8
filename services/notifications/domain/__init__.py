"""The rules of messages that are no pages: what is owed to whom and when, in which words. Pure: time and facts are passed in."""
