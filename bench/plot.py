"""A plot of points on two axes as SVG text: enough for a record, and no library."""

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 400, 70, 50, 40
COLOURS = ["#1b6ca8", "#c8553d", "#4a7c59"]


def svg(title, series):
    """`series` names lists of (x, y), sorted by x."""
    x_max = max(x for points in series.values() for x, _ in points) or 1
    y_max = max(y for points in series.values() for _, y in points) or 1
    place = lambda x, y: (LEFT + x / x_max * (WIDTH - LEFT - 20), HEIGHT - BOTTOM - y / y_max * (HEIGHT - BOTTOM - TOP))
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">',
             '<rect width="100%" height="100%" fill="white"/>', f'<text x="{LEFT}" y="20" font-size="15">{title}</text>']
    for step in range(6):
        x, y = place(x_max * step / 5, y_max * step / 5)
        parts.append(f'<line x1="{LEFT}" y1="{y:.0f}" x2="{WIDTH - 20}" y2="{y:.0f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.0f}" text-anchor="end">{y_max * step / 5:.3g}</text>')
        parts.append(f'<text x="{x:.0f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{x_max * step / 5:,.0f}</text>')
    for number, (name, points) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [place(x, y) for x, y in points]
        parts.append(f'<polyline fill="none" stroke="{colour}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in places]
        parts.append(f'<text x="{LEFT + 10}" y="{TOP + 16 * number + 12}" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
