"""Time into notifications: what is due is sent, unread messages are escalated."""
